"""Carriers of requests that are not our own pool of connections, and carriers of ours for other clients."""
