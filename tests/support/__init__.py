"""Helpers that the tests share: servers, clients, certificates, readers of the corpus. No test stands here."""
