# make demo   five gateways, one Redis, two cameras, sign-in links; Ctrl-C stops all
# make test   every test; make check: formatting, types, dependency rules; make test-long: full-size proofs

export PATH := $(CURDIR)/.venv/bin:$(CURDIR)/.venv/node/bin:$(PATH)
NATIVE := --manifest-path media/native/Cargo.toml
# Searches draw the same examples each time; cargo run -p fuzz and another number here look further.
export PROPTEST_RNG_SEED := 8
# A hundred processes of ours are started by the tests: each would compile all modules again without their caches.
export PYTHONDONTWRITEBYTECODE :=

.PHONY: demo test check test-long setup setup-browser lock clean

demo: setup
	@exec wuji demo

setup:
	@.ci/setup

setup-browser:
	@.ci/setup --browser

check: setup
	ruff format --check .
	ruff check .
	mypy
	mypy tests
	lint-imports
	python -m mypy.stubtest media._native
	cargo fmt $(NATIVE) --all --check
	cargo clippy $(NATIVE) --workspace --all-targets --quiet -- -D warnings
	cd gateway/console && npm run --silent check

test: setup-browser
	cargo test $(NATIVE) --workspace --quiet
	cd gateway/console && npm test --silent
	pytest -m "not long"

test-long: setup-browser
	cargo run $(NATIVE) --release --quiet -p fuzz -- all 20
	pytest -m "long or not long"

lock: setup
	python -m pip install -q pip-tools
	pip-compile -q --generate-hashes --no-emit-index-url --no-emit-find-links --no-emit-trusted-host --no-header \
	  --strip-extras --no-annotate --unsafe-package scipy --extra dev --extra demo -o requirements.lock pyproject.toml
	sed -i '/^# /d' requirements.lock
	pip-compile -q --generate-hashes --no-emit-index-url --no-emit-find-links --no-emit-trusted-host --no-header \
	  --no-annotate -o .ci/node-requirements.lock .ci/node-requirements.in

clean:
	rm -rf .venv .demo artifacts gateway/console/dist gateway/console/node_modules media/native/target media/*.so
