"""Settings, start-up checks, tokens and authorisation."""
