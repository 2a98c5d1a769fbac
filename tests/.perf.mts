import './runtimes.ts';
import { attentionSync, createRuntime, KVCache } from '../src/index.ts';
const rt = await createRuntime({threads:1,variant:process.argv[2] as any});
const [H,D]=[8,64];
const min=(f:()=>void,n=9)=>{let b=1e9;for(let i=0;i<n;i++){const t=performance.now();f();b=Math.min(b,performance.now()-t);}return b;};
const T=Number(process.argv[3]??65536);
const k=rt.empty([1,T,H,D]); const kv=k.view() as Float32Array; for(let i=0;i<kv.length;i++)kv[i]=Math.sin(i*1.7)*0.5;
const q=rt.tensor(Float32Array.from({length:H*D},(_,i)=>Math.cos(i)),[1,1,H,D]);
const o=rt.empty([1,1,H,D]);
console.log('read GB/s',rt.probe('read',T*H*D*4));
console.log('attention f32', min(()=>{const r=attentionSync({q,k,v:k});r.o.dispose();r.lse.dispose();}).toFixed(2));
for (const dtype of ['f32','f16','bf16','int8'] as const) for (const pageSize of [16,64]) {
  const c=new KVCache(rt,{layers:1,kvHeads:H,headDim:D,capacity:T+64,dtype,pageSize});
  const t0=performance.now();
  c.appendSync(0,{k,v:k});
  const t1=performance.now();
  const ms=min(()=>c.attendSync(0,{q,o}));
  const one=k.slice(1,0,1);
  const ap=min(()=>{c.appendSync(0,{k:one,v:one});},20);
  console.log(dtype,pageSize,'append all',(t1-t0).toFixed(1),'attend',ms.toFixed(2),'GB/s',(T*c.bytesPerToken/ms/1e6).toFixed(1),'append1 us',(ap*1000).toFixed(1));
  c.dispose();
}
