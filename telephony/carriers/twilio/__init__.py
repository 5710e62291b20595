"""Twilio: voice webhook, Media Streams, and a simulated far end for calls without an account."""
