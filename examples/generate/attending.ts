/** What a model says of its layers. */
interface Layers {
  /** Those that attend. */
  readonly attentionLayers: readonly number[];
  readonly config: { readonly mixers: readonly { readonly name: string }[] };
}

/** What a plan says of them. */
interface Planned {
  readonly layers: readonly { readonly layer: number; readonly method: string; readonly budget: number }[];
}

/**
 * Says what attends in the layers that do: methods of the plan, the model's own mixers elsewhere.
 *
 * @param plan one that `loadPlan` took.
 * @param methods which there are, and whether a budget bears on them.
 */
export function attending(
  { attentionLayers, config }: Layers,
  plan: Planned,
  methods: readonly { readonly name: string; readonly budgeted: boolean }[],
): string {
  if (attentionLayers.length === 0) return 'no layer attends';
  const planned = new Map(plan.layers.map((entry) => [entry.layer, entry]));
  const places = new Map<string, number[]>();
  for (const layer of attentionLayers) {
    const own = planned.get(layer);
    let what = `the model's own ${config.mixers[layer]!.name}`;
    if (own) {
      const budgeted = methods.some(({ name, budgeted }) => name === own.method && budgeted);
      what = budgeted ? `${own.method} ${own.budget}` : own.method;
    }
    places.set(what, [...(places.get(what) ?? []), layer]);
  }
  return [...places]
    .map(([what, layers]) => `${what} in ${layers.length === 1 ? 'layer' : 'layers'} ${layers.join(', ')}`)
    .join('; ');
}
