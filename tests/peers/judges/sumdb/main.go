// Judges a published log, or a proof of one of its entries, by the code with which Go checks the sums
// of modules: golang.org/x/mod/sumdb, packages note and tlog.
//
//	sumdb -key VKEY_FILE -log DIR [-old CHECKPOINT_FILE]
//	sumdb -key VKEY_FILE -proof TLOG_PROOF_FILE -entry FILE
//
// Exit status: 0 when everything verifies, 1 when not. What it does itself is to find files and to
// split texts; all hashes, proofs and signatures are computed by the packages.
package main

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

const (
	tileHeight  = 8
	tileEntries = 1 << tileHeight
	proofHeader = "c2sp.org/tlog-proof@v1\n"
)

func main() {
	key := flag.String("key", "", "file with the verifier key of the log")
	dir := flag.String("log", "", "directory of the log")
	old := flag.String("old", "", "a checkpoint that was kept from earlier")
	proof := flag.String("proof", "", "a tlog-proof to judge instead of a log")
	entry := flag.String("entry", "", "the entry that the proof is of")
	flag.Parse()
	said, err := judge(*key, *dir, *old, *proof, *entry)
	if err != nil {
		fmt.Println("refused:", err)
		os.Exit(1)
	}
	fmt.Println(said)
}

func judge(key, dir, old, proof, entry string) (string, error) {
	text, err := os.ReadFile(key)
	if err != nil {
		return "", err
	}
	verifier, err := note.NewVerifier(strings.TrimSpace(string(text)))
	if err != nil {
		return "", err
	}
	if proof != "" {
		return judgeProof(verifier, proof, entry)
	}
	return judgeLog(verifier, dir, old)
}

// judgeLog checks the signature of the checkpoint, its root over the entries, every tile, the proofs of
// five entries and, with an old checkpoint, that the log only grew since.
func judgeLog(verifier note.Verifier, dir, old string) (string, error) {
	tree, err := readCheckpoint(verifier, filepath.Join(dir, "checkpoint"))
	if err != nil {
		return "", err
	}
	entries, err := readEntries(dir, tree.N)
	if err != nil {
		return "", err
	}
	hashes, err := build(entries)
	if err != nil {
		return "", err
	}
	root, err := tlog.TreeHash(tree.N, hashes)
	if err != nil {
		return "", err
	}
	if root != tree.Hash {
		return "", errors.New("the entries do not have the signed root")
	}
	files := &reader{dir: dir}
	if err := checkTiles(tree, hashes, files); err != nil {
		return "", err
	}
	tiles := tlog.TileHashReader(tree, files)
	if err := proveFive(tree, tiles, entries); err != nil {
		return "", err
	}
	said := fmt.Sprintf("%d entries, root %v", tree.N, tree.Hash)
	if old == "" {
		return said, nil
	}
	before, err := readCheckpoint(verifier, old)
	if err != nil {
		return "", err
	}
	if before.N > tree.N {
		return "", fmt.Errorf("the log went back from %d to %d entries", before.N, tree.N)
	}
	proof, err := tlog.ProveTree(tree.N, before.N, tiles)
	if err != nil {
		return "", err
	}
	if err := tlog.CheckTree(proof, tree.N, tree.Hash, before.N, before.Hash); err != nil {
		return "", fmt.Errorf("the log does not extend the old checkpoint: %w", err)
	}
	return fmt.Sprintf("%s, extends the tree of %d", said, before.N), nil
}

// built is a whole tree in memory.
type built []tlog.Hash

func (b built) ReadHashes(indexes []int64) ([]tlog.Hash, error) {
	hashes := make([]tlog.Hash, len(indexes))
	for i, index := range indexes {
		hashes[i] = b[index]
	}
	return hashes, nil
}

func build(entries [][]byte) (built, error) {
	var hashes built
	for i, entry := range entries {
		stored, err := tlog.StoredHashes(int64(i), entry, hashes)
		if err != nil {
			return nil, err
		}
		hashes = append(hashes, stored...)
	}
	return hashes, nil
}

// checkTiles compares every tile with the tree over the entries. This is not left to TileHashReader: the
// one of Go 1.19 passes over some full tiles.
func checkTiles(tree tlog.Tree, hashes built, files *reader) error {
	for _, tile := range tlog.NewTiles(tileHeight, 0, tree.N) {
		width := tree.N>>(tileHeight*uint(tile.L)) - tile.N*tileEntries
		if int64(tile.W) < width && tile.W < tileEntries {
			continue // Of a smaller tree; some versions list those as well.
		}
		wanted, err := tlog.ReadTileData(tile, hashes)
		if err != nil {
			return err
		}
		found, err := files.ReadTiles([]tlog.Tile{tile})
		if err != nil {
			return err
		}
		if !bytes.Equal(found[0], wanted) {
			return fmt.Errorf("%s is not of this tree", tilePath(strconv.Itoa(tile.L), tile.N, tile.W))
		}
	}
	return nil
}

func proveFive(tree tlog.Tree, tiles tlog.HashReader, entries [][]byte) error {
	if tree.N == 0 {
		return errors.New("the log is empty")
	}
	for _, i := range []int64{0, tree.N / 4, tree.N / 2, tree.N * 3 / 4, tree.N - 1} {
		proof, err := tlog.ProveRecord(tree.N, i, tiles)
		if err != nil {
			return err
		}
		if err := tlog.CheckRecord(proof, tree.N, tree.Hash, i, tlog.RecordHash(entries[i])); err != nil {
			return fmt.Errorf("entry %d: %w", i, err)
		}
	}
	return nil
}

func judgeProof(verifier note.Verifier, path, entry string) (string, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return "", err
	}
	head, checkpoint, found := strings.Cut(string(text), "\n\n")
	if !found || !strings.HasPrefix(head, proofHeader) {
		return "", errors.New("this is no tlog-proof")
	}
	tree, err := openCheckpoint(verifier, []byte(checkpoint))
	if err != nil {
		return "", err
	}
	index, proof := int64(-1), tlog.RecordProof{}
	for _, line := range strings.Split(strings.TrimPrefix(head, proofHeader), "\n") {
		switch {
		case strings.HasPrefix(line, "extra "):
		case strings.HasPrefix(line, "index "):
			index, err = strconv.ParseInt(strings.TrimPrefix(line, "index "), 10, 64)
		default:
			var hash tlog.Hash
			hash, err = tlog.ParseHash(line)
			proof = append(proof, hash)
		}
		if err != nil {
			return "", err
		}
	}
	leaf, err := os.ReadFile(entry)
	if err != nil {
		return "", err
	}
	if err := tlog.CheckRecord(proof, tree.N, tree.Hash, index, tlog.RecordHash(leaf)); err != nil {
		return "", err
	}
	return fmt.Sprintf("entry %d of %d", index, tree.N), nil
}

func readCheckpoint(verifier note.Verifier, path string) (tlog.Tree, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return tlog.Tree{}, err
	}
	return openCheckpoint(verifier, text)
}

// openCheckpoint checks the signature of a checkpoint and takes its three lines apart (tlog-checkpoint).
func openCheckpoint(verifier note.Verifier, text []byte) (tlog.Tree, error) {
	opened, err := note.Open(text, note.VerifierList(verifier))
	if err != nil {
		return tlog.Tree{}, err
	}
	lines := strings.Split(opened.Text, "\n")
	if len(lines) != 4 || lines[0] != verifier.Name() || lines[3] != "" {
		return tlog.Tree{}, errors.New("the note is no checkpoint of this log")
	}
	size, err := strconv.ParseInt(lines[1], 10, 64)
	if err != nil {
		return tlog.Tree{}, err
	}
	hash, err := base64.StdEncoding.DecodeString(lines[2])
	if err != nil || len(hash) != tlog.HashSize {
		return tlog.Tree{}, errors.New("the root is no hash")
	}
	tree := tlog.Tree{N: size}
	copy(tree.Hash[:], hash)
	return tree, nil
}

// reader finds tiles in the layout of C2SP tlog-tiles, which names them otherwise than Go does.
type reader struct {
	dir string
}

func (r *reader) Height() int { return tileHeight }

func (r *reader) ReadTiles(tiles []tlog.Tile) ([][]byte, error) {
	var read [][]byte
	for _, tile := range tiles {
		path := tilePath(strconv.Itoa(tile.L), tile.N, tile.W)
		content, err := os.ReadFile(filepath.Join(r.dir, path))
		if err != nil {
			return nil, err
		}
		read = append(read, content)
	}
	return read, nil
}

func (r *reader) SaveTiles([]tlog.Tile, [][]byte) {}

// readEntries reads the bundles: entries one after the other, each after its length in two bytes.
func readEntries(dir string, size int64) ([][]byte, error) {
	var entries [][]byte
	for n := int64(0); n*tileEntries < size; n++ {
		width := size - n*tileEntries
		if width > tileEntries {
			width = tileEntries
		}
		path := tilePath("entries", n, int(width))
		content, err := os.ReadFile(filepath.Join(dir, path))
		if err != nil {
			return nil, err
		}
		rest := bytes.NewBuffer(content)
		for i := int64(0); i < width; i++ {
			length := rest.Next(2)
			if len(length) < 2 {
				return nil, fmt.Errorf("%s ends early", path)
			}
			entry := rest.Next(int(binary.BigEndian.Uint16(length)))
			if len(entry) != int(binary.BigEndian.Uint16(length)) {
				return nil, fmt.Errorf("%s ends early", path)
			}
			entries = append(entries, entry)
		}
		if rest.Len() != 0 {
			return nil, fmt.Errorf("%s is too long", path)
		}
	}
	return entries, nil
}

func tilePath(level string, n int64, width int) string {
	number := fmt.Sprintf("%03d", n%1000)
	for n >= 1000 {
		n /= 1000
		number = fmt.Sprintf("x%03d/%s", n%1000, number)
	}
	path := "tile/" + level + "/" + number
	if width < tileEntries {
		path += fmt.Sprintf(".p/%d", width)
	}
	return path
}
