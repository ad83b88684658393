// Package standin holds the files of a strict stand-in for the application's images: what they
// add to one shared root file system. It is written from the application's contract alone and
// knows nothing of the program that deploys it, so that each checks the other.
package standin

import "embed"

// Files has one folder per image with its rootfs, and the browser application's page set in web.
//
//go:embed all:backend all:frontend all:postgres all:redis all:ssr all:web
var Files embed.FS
