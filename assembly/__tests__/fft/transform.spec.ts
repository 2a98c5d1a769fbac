import { joinReal, splitReal, transform } from '../../fft/transform';

const MOST: i32 = 64;
const X: usize = memory.data(2048, 16);
const Y: usize = memory.data(2048, 16);
const SPECTRUM: usize = memory.data(2080, 16);
const TWIDDLES: usize = memory.data(1024, 16);

/** The sample that lane `lane` holds at place i. */
function sample(i: i32, lane: i32): f64 {
  return NativeMath.sin(<f64>(i * 7 + lane * 13 + 1)) + 0.25 * <f64>lane;
}

function writeTwiddles(m: i32): void {
  for (let k = 0; k < 2 * m; ++k) {
    const angle = (NativeMath.PI * <f64>k) / <f64>m;
    store<f32>(TWIDDLES + <usize>(8 * k), <f32>NativeMath.cos(angle));
    store<f32>(TWIDDLES + <usize>(8 * k), <f32>-NativeMath.sin(angle), 4);
  }
}

/** Fills m complex elements whose imaginary parts follow the real ones: 2 m real samples in order. */
function writeSamples(m: i32): void {
  for (let j = 0; j < 2 * m; ++j) {
    for (let lane = 0; lane < 4; ++lane) store<f32>(X + <usize>(16 * j + 4 * lane), <f32>sample(j, lane));
  }
}

describe('transform', () => {
  it('is the complex Fourier sum in every lane, for every power of two', () => {
    for (let m = 1; m <= MOST; m *= 2) {
      writeTwiddles(m);
      writeSamples(m);
      const result = transform(X, Y, m, TWIDDLES);
      let most: f64 = 0;
      for (let k = 0; k < m; ++k) {
        for (let lane = 0; lane < 4; ++lane) {
          let re: f64 = 0;
          let im: f64 = 0;
          for (let j = 0; j < m; ++j) {
            const angle = (-2 * NativeMath.PI * <f64>((j * k) % m)) / <f64>m;
            const c = NativeMath.cos(angle);
            const s = NativeMath.sin(angle);
            re += sample(2 * j, lane) * c - sample(2 * j + 1, lane) * s;
            im += sample(2 * j, lane) * s + sample(2 * j + 1, lane) * c;
          }
          const at = result + <usize>(32 * k + 4 * lane);
          most = max(most, NativeMath.abs(<f64>load<f32>(at) - re));
          most = max(most, NativeMath.abs(<f64>load<f32>(at, 16) - im));
        }
      }
      expect<f64>(most).toBeLessThanOrEqual(1e-5, `m = ${m}`);
    }
  });

  it('gives the spectrum of real samples by splitReal, and the samples back by joinReal', () => {
    for (let m = 1; m <= MOST; m *= 2) {
      writeTwiddles(m);
      writeSamples(m);
      splitReal(transform(X, Y, m, TWIDDLES), SPECTRUM, m, TWIDDLES, 0.5);
      let most: f64 = 0;
      for (let k = 0; k <= m; ++k) {
        // the elements 0 and m carry twice the factor
        const factor: f64 = k == 0 || k == m ? 2 : 1;
        let re: f64 = 0;
        let im: f64 = 0;
        for (let j = 0; j < 2 * m; ++j) {
          const angle = (-NativeMath.PI * <f64>((j * k) % (2 * m))) / <f64>m;
          re += factor * sample(j, 3) * NativeMath.cos(angle);
          im += factor * sample(j, 3) * NativeMath.sin(angle);
        }
        const at = SPECTRUM + <usize>(32 * k + 12);
        most = max(most, NativeMath.abs(<f64>load<f32>(at) - re));
        most = max(most, NativeMath.abs(<f64>load<f32>(at, 16) - im));
      }
      expect<f64>(most).toBeLessThanOrEqual(2e-5, `spectrum, m = ${m}`);
      for (let i: usize = 0; i < 32; i += 4) {
        const last = SPECTRUM + <usize>(32 * m);
        store<f32>(SPECTRUM + i, 0.5 * load<f32>(SPECTRUM + i));
        store<f32>(last + i, 0.5 * load<f32>(last + i));
      }
      joinReal(SPECTRUM, X, m, TWIDDLES);
      const back = transform(X, Y, m, TWIDDLES);
      most = 0;
      for (let j = 0; j < 2 * m; ++j) {
        const got = <f64>load<f32>(back + <usize>(16 * (j ^ 1) + 12)) / <f64>(2 * m);
        most = max(most, NativeMath.abs(got - sample(j, 3)));
      }
      expect<f64>(most).toBeLessThanOrEqual(2e-6, `samples, m = ${m}`);
    }
  });
});
