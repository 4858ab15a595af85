//go:build go1.24

package main

import "net/http"

func protocols(http1, http2 bool) *http.Protocols {
	known := new(http.Protocols)
	known.SetHTTP1(http1)
	known.SetUnencryptedHTTP2(http2)
	return known
}

func allowPriorKnowledge(server *http.Server) bool {
	server.Protocols = protocols(true, true)
	return true
}

func newTransport(http2 bool) *http.Transport {
	return &http.Transport{Protocols: protocols(!http2, http2), DisableCompression: true}
}
