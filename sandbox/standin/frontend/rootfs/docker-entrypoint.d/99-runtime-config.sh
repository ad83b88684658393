#!/bin/sh
# Writes the runtime configuration of the browser application (contract 1.5), one key per line.
# Only backslash and double quote are escaped, so a newline in a value breaks the file, as there.
set -eu

CONFIG_PATH="${CONFIG_PATH:-/usr/share/nginx/html/assets/app-config.js}"

escape() {
  printf '%s' "$1" | sed -e 's/\\/\\\\/g' -e 's/"/\\"/g'
}

truthy() {
  case "$(printf '%s' "$1" | tr '[:upper:]' '[:lower:]')" in
    1 | true | yes | on) echo true ;;
    *) echo false ;;
  esac
}

decimal() {
  if printf '%s' "$1" | grep -Eq '^[0-9]+(\.[0-9]+)?$'; then
    printf '%s' "$1"
  else
    printf '%s' "$2"
  fi
}

locales() {
  printf '%s' "$1" | tr ',' '\n' | sed -e 's/^ *//' -e 's/ *$//' -e '/^$/d' -e 's/.*/"&"/' | paste -sd, -
}

CLARITY_ID="${FRONTEND_CLARITY_PROJECT_ID:-}"
if [ -n "${CLARITY_ENABLED:-}" ]; then
  CLARITY="$(truthy "$CLARITY_ENABLED")"
elif [ -n "$CLARITY_ID" ]; then
  CLARITY=true
else
  CLARITY=false
fi

mkdir -p "$(dirname "$CONFIG_PATH")"
cat > "$CONFIG_PATH" <<CONFIG
window.__APP_CONFIG__ = {
  "apiBaseUrl": "$(escape "${API_BASE_URL:-/api/v1}")",
  "appEnv": "$(escape "${APP_ENV:-production}")",
  "appVersion": "$(escape "${APP_VERSION:-}")",
  "stripeEnabled": $(truthy "${STRIPE_ENABLED:-}"),
  "paypalEnabled": $(truthy "${PAYPAL_ENABLED:-}"),
  "netopiaEnabled": $(truthy "${NETOPIA_ENABLED:-}"),
  "addressAutocompleteEnabled": $(truthy "${ADDRESS_AUTOCOMPLETE_ENABLED:-}"),
  "clarityProjectId": "$(escape "$CLARITY_ID")",
  "clarityEnabled": $CLARITY,
  "sentryEnabled": $(truthy "${SENTRY_ENABLED:-1}"),
  "sentryDsn": "$(escape "${SENTRY_DSN:-}")",
  "sentrySendDefaultPii": $(truthy "${SENTRY_SEND_DEFAULT_PII:-1}"),
  "sentryTracesSampleRate": $(decimal "${SENTRY_TRACES_SAMPLE_RATE:-1.0}" 1.0),
  "sentryReplaySessionSampleRate": $(decimal "${SENTRY_REPLAY_SESSION_SAMPLE_RATE:-0.25}" 0.25),
  "sentryReplayOnErrorSampleRate": $(decimal "${SENTRY_REPLAY_ON_ERROR_SAMPLE_RATE:-1.0}" 1.0),
  "captchaSiteKey": "$(escape "${CAPTCHA_SITE_KEY:-}")",
  "siteName": "$(escape "${SITE_NAME:-momentstudio}")",
  "publicBaseUrl": "$(escape "${PUBLIC_BASE_URL:-https://momentstudio.ro}")",
  "supportEmail": "$(escape "${SUPPORT_EMAIL:-momentstudio.ro@gmail.com}")",
  "defaultLocale": "$(escape "${DEFAULT_LOCALE:-en}")",
  "supportedLocales": [$(locales "${SUPPORTED_LOCALES:-en,ro}")]
};
CONFIG
