/**
 * Charts of a report, as options of Chart.js.
 *
 * @module
 */

/** One chart. */
export interface Chart {
  readonly title: string;
  readonly says: string;
  readonly config: object;
}

/** What is drawn in one colour. */
export interface Series {
  readonly label: string;
  readonly points: readonly (readonly [x: number, y: number])[];
  /** What is written beside each point. */
  readonly names?: readonly string[];
}

/** Titles of axes, and which of them rise by factors. */
export interface Axes {
  readonly x: string;
  readonly y: string;
  readonly logX?: boolean;
  readonly logY?: boolean;
  /** Ends of the y axis; default those of the points. */
  readonly yEnds?: readonly [low: number, high: number];
}

const COLOURS = [
  '#0b6e99',
  '#d9480f',
  '#2b8a3e',
  '#862e9c',
  '#e67700',
  '#364fc7',
  '#c2255c',
  '#5c940d',
  '#495057',
  '#087f5b',
];

/** A chart's options: points, or points joined by lines. */
export function chart(kind: 'line' | 'scatter', series: readonly Series[], axes: Axes): object {
  const scale = (text: string, log = false) => ({
    type: log ? 'logarithmic' : 'linear',
    title: { display: true, text },
  });
  return {
    type: kind,
    data: {
      datasets: series.map(({ label, points, names }, i) => ({
        label,
        data: points.map(([x, y]) => ({ x, y })),
        ...(names && { names }),
        borderColor: COLOURS[i % COLOURS.length],
        backgroundColor: COLOURS[i % COLOURS.length],
        pointRadius: kind === 'scatter' ? 5 : 3,
      })),
    },
    options: {
      animation: false,
      // room for what is written beside the outermost points
      layout: { padding: { right: 24 } },
      aspectRatio: 1.5,
      scales: {
        x: scale(axes.x, axes.logX),
        y: { ...scale(axes.y, axes.logY), ...(axes.yEnds && { min: axes.yEnds[0], max: axes.yEnds[1] }) },
      },
      plugins: { legend: { position: 'bottom', labels: { boxWidth: 12 } } },
    },
  };
}

/** One series for each group, its points named, groups in their first order. */
export function grouped<Item>(
  items: readonly Item[],
  of: (item: Item) => { readonly group: string; readonly name: string; readonly point: readonly [number, number] },
): Series[] {
  const groups = new Map<string, { names: string[]; points: (readonly [number, number])[] }>();
  for (const item of items) {
    const { group, name, point } = of(item);
    const found = groups.get(group) ?? { names: [], points: [] };
    groups.set(group, found);
    found.names.push(name);
    found.points.push(point);
  }
  return [...groups].map(([label, found]) => ({ label, ...found }));
}
