package images

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"image"
	"image/color"
	"image/jpeg"
	"io/fs"
	"strings"
)

const csrCanonical = "https://momentstudio.ro/"

// webFiles returns the browser application below root and the template of its rendered page.
// Bundles are named by their own content, so that two releases have different names.
func webFiles(source fs.FS, root, release string) (files []file, template []byte, err error) {
	read := func(name string) string {
		raw, readErr := fs.ReadFile(source, "web/"+name)
		if readErr != nil && err == nil {
			err = fmt.Errorf("read page set: %w", readErr)
		}
		return string(raw)
	}
	add := func(name, content string) {
		files = append(files, file{path: root + "/" + name, mode: 0o644, data: []byte(content)})
	}
	bundle := func(name, extension string) string {
		content := strings.ReplaceAll(read(name+extension), "@RELEASE@", release)
		sum := sha256.Sum256([]byte(content))
		hashed := name + "." + hex.EncodeToString(sum[:8]) + extension
		add(hashed, content)
		return hashed
	}
	names := strings.NewReplacer("@MAIN@", bundle("main", ".js"), "@STYLES@", bundle("styles", ".css"), "@RELEASE@",
		release)
	page := names.Replace(read("index.html"))
	add("index.html", strings.NewReplacer("@SERVER_CONTEXT@", "", "@CANONICAL@", csrCanonical, "@CONTENT@",
		"").Replace(page))
	add("ngsw.json", names.Replace(read("ngsw.json")))
	for _, name := range []string{"manifest.webmanifest", "ngsw-worker.js", "assets/theme-bootstrap.js"} {
		add(name, read(name))
	}
	banner, bannerErr := bannerImage()
	if err == nil {
		err = bannerErr
	}
	files = append(files, file{path: root + "/assets/home/banner_image.jpeg", mode: 0o644, data: banner})
	return files, []byte(page), err
}

// bannerImage draws a small gradient, so that no binary file needs to be kept.
func bannerImage() ([]byte, error) {
	picture := image.NewRGBA(image.Rect(0, 0, 320, 120))
	for y := range 120 {
		for x := range 320 {
			picture.Set(x, y, color.RGBA{R: uint8(x * 255 / 320), G: uint8(y * 2), B: 120, A: 255})
		}
	}
	var out bytes.Buffer
	if err := jpeg.Encode(&out, picture, &jpeg.Options{Quality: 80}); err != nil {
		return nil, fmt.Errorf("draw banner: %w", err)
	}
	return out.Bytes(), nil
}
