// The client: `peer fetch` reads a session's name, URLs, method and size of content as JSON, a line each, and writes what
// came of it: of the first request, and, once the URL of the gate has answered, of a second one to /next.
package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"os"
	"strings"
	"sync"
	"time"
)

type job struct {
	Name, URL, Gate, Method string
	Upload                  int
	HTTP2                   bool
	Limit                   float64
}

func fetch(client *http.Client, method, url string, upload int) string {
	var content io.Reader
	if upload > 0 {
		content = bytes.NewReader(make([]byte, upload))
	}
	request, err := http.NewRequest(method, url, content)
	if err != nil {
		panic(err)
	}
	var parts []string
	trace := &httptrace.ClientTrace{Got1xxResponse: func(code int, _ textproto.MIMEHeader) error {
		parts = append(parts, fmt.Sprint(code))
		return nil
	}}
	response, err := client.Do(request.WithContext(httptrace.WithClientTrace(request.Context(), trace)))
	if err != nil {
		return failed(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		return failed(err)
	}
	parts = append(parts, fmt.Sprint(response.StatusCode))
	if len(body) > 0 {
		parts = append(parts, latin1(string(body)))
	}
	if values := response.Header["X"]; len(values) > 0 {
		parts = append(parts, fmt.Sprintf("%.40s", "x="+latin1(strings.Join(values, "|"))))
	}
	if values := response.Trailer["X-T"]; len(values) > 0 {
		parts = append(parts, "x-t="+strings.Join(values, "|"))
	}
	return strings.Join(parts, " ")
}

// latin1 makes each byte a character, as JSON has no bytes.
func latin1(bytes string) string {
	var text []rune
	for at := 0; at < len(bytes); at++ {
		text = append(text, rune(bytes[at]))
	}
	return string(text)
}

func failed(err error) string {
	if os.Getenv("PEER_ERRORS") != "" {
		fmt.Fprintln(os.Stderr, err)
	}
	if timeout, ok := err.(interface{ Timeout() bool }); ok && timeout.Timeout() {
		return "waits"
	}
	return "error"
}

func run(one job) map[string]string {
	transport := newTransport(one.HTTP2)
	client := &http.Client{Transport: transport, Timeout: time.Duration(one.Limit * float64(time.Second))}
	// net/http of Go 1.26 can hold its own lock for ever, and then no timeout of its own ends the request.
	guarded := func(method, url string, upload int) string {
		done := make(chan string, 1)
		go func() { done <- fetch(client, method, url, upload) }()
		select {
		case result := <-done:
			return result
		case <-time.After(client.Timeout + 500*time.Millisecond):
			return "waits"
		}
	}
	first := guarded(one.Method, one.URL+"/", one.Upload)
	if first != "waits" {
		if response, err := http.Get(one.Gate); err == nil {
			response.Body.Close()
		}
		guarded("GET", one.URL+"/next", 0)
	}
	go transport.CloseIdleConnections()
	return map[string]string{"name": one.Name, "first": first}
}

func fetchAll() {
	jobs, results := make(chan job), make(chan map[string]string)
	var workers sync.WaitGroup
	for range [16]struct{}{} {
		workers.Add(1)
		go func() {
			defer workers.Done()
			for one := range jobs {
				results <- run(one)
			}
		}()
	}
	go func() {
		for decoder := json.NewDecoder(os.Stdin); ; {
			var one job
			if decoder.Decode(&one) != nil {
				break
			}
			jobs <- one
		}
		close(jobs)
		workers.Wait()
		close(results)
	}()
	encoder := json.NewEncoder(os.Stdout)
	for each := range results {
		encoder.Encode(each)
	}
}
