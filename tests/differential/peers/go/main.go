// The application of app.py on Go's net/http, cleartext HTTP/2 by prior knowledge: says its port on a line.
package main

import (
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
)

var big = strings.Repeat("a", 100000)

func answer(w http.ResponseWriter, r *http.Request) {
	path := r.URL.Path
	if r.Method == "CONNECT" {
		w.WriteHeader(403)
		return
	}
	var size int64
	switch path {
	case "/hold":
		<-r.Context().Done()
		return
	case "/early":
	default:
		var err error
		if size, err = io.Copy(io.Discard, r.Body); err != nil {
			http.Error(w, "", 400)
			return
		}
	}
	w.Header()["Content-Type"] = nil
	switch path {
	case "/hints":
		w.Header().Set("link", "</style.css>; rel=preload")
		w.WriteHeader(http.StatusEarlyHints)
		w.Header().Del("link")
	case "/204", "/304":
		status, _ := strconv.Atoi(path[1:])
		w.WriteHeader(status)
		return
	case "/trailers":
		w.Header().Set("trailer", "x-checksum")
		io.WriteString(w, "content")
		w.Header().Set("x-checksum", "7")
		return
	case "/big":
		io.WriteString(w, big)
		return
	}
	if r.Method != "HEAD" {
		io.WriteString(w, described(r, size))
	}
}

func described(r *http.Request, size int64) string {
	x, cookie := strings.Join(r.Header["X"], "|"), strings.Join(r.Header["Cookie"], "; ")
	trailers := strings.Join(r.Trailer["X-T"], "|")
	return fmt.Sprintf("%s,%s,%s,%s,%s,%d,%s", r.Method, r.RequestURI, r.Host, x, cookie, size, trailers)
}

func main() {
	if len(os.Args) > 1 && os.Args[1] == "fetch" {
		fetchAll()
		return
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	server := &http.Server{Handler: http.HandlerFunc(answer), ErrorLog: log.New(io.Discard, "", 0)}
	if !allowPriorKnowledge(server) {
		fmt.Println("0")
		return
	}
	fmt.Println(listener.Addr().(*net.TCPAddr).Port)
	server.Serve(listener)
}
