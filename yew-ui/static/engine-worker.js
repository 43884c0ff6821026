// The engine runs in a worker of its own, so that nothing the page does holds up media.
import init from './engine.js';
init({ module_or_path: new URL('/engine_bg.wasm', import.meta.url) });
