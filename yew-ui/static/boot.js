// Starts the page, or says what is missing.
const needed = {
  WebAssembly: 'WebAssembly',
  VideoEncoder: 'WebCodecs',
  MediaStreamTrackProcessor: 'MediaStreamTrackProcessor',
  AudioWorkletNode: 'AudioWorklet',
};
const missing = Object.keys(needed).filter((name) => !(name in globalThis));
const show = (id) => {
  document.getElementById('loading')?.remove();
  document.getElementById(id).hidden = false;
};
if (!globalThis.isSecureContext) show('insecure');
else if (missing.length > 0) show('unsupported');
else {
  import('/app.js')
    .then(({ default: init }) => init({ module_or_path: new URL('/app_bg.wasm', import.meta.url) }))
    .catch((error) => {
      console.error(error);
      show('failed');
    });
}
