// Release @RELEASE@
const config = window.__APP_CONFIG__ ?? {};
const root = document.querySelector("app-root");
if (root && !root.hasAttribute("ng-server-context")) {
  root.textContent = `${config.siteName ?? "momentstudio"} ${config.appVersion ?? ""}`;
}
