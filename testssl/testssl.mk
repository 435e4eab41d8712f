# make testssl   testssl.sh against a server with an ECDSA certificate, some minutes: no finding may be above LOW.
# Included by the Makefile of the root, which gives PY and `build`.

.PHONY: testssl

testssl: build ## findings of testssl.sh
	@make/clients.sh testssl/tools.txt
	@echo "testssl  testssl.sh (some minutes)"
	@$(PY) testssl/run.py
