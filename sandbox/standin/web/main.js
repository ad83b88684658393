// Release @RELEASE@
const config = window.__APP_CONFIG__ ?? {};
const root = document.querySelector("app-root");
if (root && !root.hasAttribute("ng-server-context")) {
  root.textContent = `${config.siteName ?? "momentstudio"} ${config.appVersion ?? ""}`;
}
// Sentry packs a replay in a worker whose program is part of its bundle.
new Worker(URL.createObjectURL(new Blob(["postMessage(1)"], {type: "text/javascript"})));
navigator.serviceWorker?.register("/ngsw-worker.js");
