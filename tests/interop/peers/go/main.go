// Go's net/http: peer CERTIFICATE, then a line with the ports of cleartext (HTTP/1.1, and HTTP/2 by prior knowledge where
// this Go has it: otherwise 0 is the first) and of TLS with both.
package main

import (
	"crypto/sha256"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
)

var block [65536]byte

func answer(w http.ResponseWriter, r *http.Request) {
	switch path := r.URL.Path; {
	case path == "/up":
		digest := sha256.New()
		size, err := io.Copy(digest, r.Body)
		if err != nil {
			panic(http.ErrAbortHandler)
		}
		fmt.Fprintf(w, "%d %x", size, digest.Sum(nil))
	case strings.HasPrefix(path, "/down/"):
		blocks, _ := strconv.Atoi(path[6:])
		w.Header().Set("content-length", strconv.Itoa(blocks*len(block)))
		for ; blocks > 0; blocks-- {
			if _, err := w.Write(block[:]); err != nil {
				return
			}
		}
	case path == "/trailers":
		w.Header().Set("trailer", "x-checksum")
		io.WriteString(w, "content")
		w.(http.Flusher).Flush()
		w.Header().Set("x-checksum", "7")
	default:
		if path == "/hints" {
			w.Header().Set("link", "</style.css>; rel=preload")
			w.WriteHeader(http.StatusEarlyHints)
			w.Header().Del("link")
		}
		io.WriteString(w, "hello")
	}
}

func listen() net.Listener {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	return listener
}

func main() {
	for at := range block {
		block[at] = byte(at)
	}
	cleartext, secure := listen(), listen()
	server := &http.Server{Handler: http.HandlerFunc(answer)}
	port := cleartext.Addr().(*net.TCPAddr).Port
	prior := 0
	if allowPriorKnowledge(server) {
		prior = port
	}
	fmt.Println(prior, secure.Addr().(*net.TCPAddr).Port, port)
	go server.Serve(cleartext)
	server.ServeTLS(secure, os.Args[1], os.Args[1])
}
