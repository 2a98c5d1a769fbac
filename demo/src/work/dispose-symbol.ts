/**
 * The symbol that `using` looks for. Safari has none yet; to be imported before anything that has methods of that name.
 *
 * @module
 */
(Symbol as { dispose?: symbol }).dispose ??= Symbol('Symbol.dispose');
