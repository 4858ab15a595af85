//go:build !go1.24

package main

import "net/http"

func allowPriorKnowledge(*http.Server) bool { return false }

func newTransport(bool) *http.Transport { return nil }
