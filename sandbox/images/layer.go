package images

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"io/fs"
	"path"
	"sort"
	"strings"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
)

// file is one entry of an overlay layer. A directory has fs.ModeDir, a link its target.
type file struct {
	path     string
	mode     fs.FileMode
	data     []byte
	link     string
	uid, gid int
}

func dir(path string, mode fs.FileMode, uid, gid int) file {
	return file{path: path, mode: mode | fs.ModeDir, uid: uid, gid: gid}
}

// hide removes a path of the base from an image that must not have it.
func hide(name string) file {
	return file{path: path.Join(path.Dir(name), ".wh."+path.Base(name)), mode: 0o644}
}

// tree returns the files below root in source. What starts with "#!" can be executed: modes do
// not survive embedding.
func tree(source fs.FS, root string) ([]file, error) {
	var files []file
	err := fs.WalkDir(source, root, func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() {
			if entry.Name() == "__pycache__" {
				return fs.SkipDir
			}
			return nil
		}
		data, err := fs.ReadFile(source, name)
		if err != nil {
			return err
		}
		mode := fs.FileMode(0o644)
		if bytes.HasPrefix(data, []byte("#!")) {
			mode = 0o755
		}
		files = append(files, file{path: strings.TrimPrefix(name, root), mode: mode, data: data})
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read files of %s: %w", root, err)
	}
	return files, nil
}

// overlay packs files into a layer that depends on nothing but them.
func overlay(files []file) (v1.Layer, error) {
	sort.Slice(files, func(i, j int) bool { return files[i].path < files[j].path })
	var packed bytes.Buffer
	tw := tar.NewWriter(&packed)
	for _, f := range files {
		header := &tar.Header{
			Name: strings.TrimPrefix(f.path, "/"), Mode: int64(f.mode.Perm()), Size: int64(len(f.data)),
			Uid: f.uid, Gid: f.gid, ModTime: time.Unix(epoch, 0), Format: tar.FormatPAX, Typeflag: tar.TypeReg,
		}
		switch {
		case f.mode.IsDir():
			header.Typeflag, header.Name = tar.TypeDir, header.Name+"/"
		case f.link != "":
			header.Typeflag, header.Linkname = tar.TypeSymlink, f.link
		}
		if err := tw.WriteHeader(header); err != nil {
			return nil, fmt.Errorf("pack %s: %w", f.path, err)
		}
		if _, err := tw.Write(f.data); err != nil {
			return nil, fmt.Errorf("pack %s: %w", f.path, err)
		}
	}
	if err := tw.Close(); err != nil {
		return nil, fmt.Errorf("pack layer: %w", err)
	}
	return tarball.LayerFromOpener(func() (io.ReadCloser, error) {
		return io.NopCloser(bytes.NewReader(packed.Bytes())), nil
	}, tarball.WithCompressionLevel(gzip.BestSpeed), tarball.WithCompressedCaching)
}
