# Two commands do everything: `make demo` and `make test`. `make help` lists the others.
SHELL := /bin/bash
.DEFAULT_GOAL := help
# The trainer builds against the PyTorch in .venv.
export PATH := $(CURDIR)/.venv/bin:$(HOME)/.cargo/bin:$(PATH)

comma := ,
# What of the daemon to build: `make install FEATURES=tensorrt` on a Jetson, see docs/jetson.md.
FEATURES ?=
DAEMON_FEATURES := $(if $(FEATURES),--features $(FEATURES))
# The tests compile the TensorRT backend with headers that setup.sh fetched.
FETCHED_TENSORRT = $${XDG_CACHE_HOME:-$$HOME/.cache}/nervelight/tensorrt
TENSORRT_TESTS = TENSORRT_INCLUDE_DIR=$(FETCHED_TENSORRT)/11.4 TENSORRT_RTX_INCLUDE_DIR=$(FETCHED_TENSORRT)/rtx/include
# TensorRT for RTX, whose builder works without a GPU, is to be had for x86-64 only: on Arm no real plan is built.
TENSORRT_FEATURES := tensorrt$(if $(filter x86_64,$(shell uname -m)),$(comma)tensorrt-rtx)

DAEMON := target/release/nervelightd
DEMO := target/demo

.PHONY: help demo live test proof gpu bench trainer install

help: ## List the commands
	@grep -E '^[a-z]+:.*##' Makefile | sed 's/:.*## /\t/' | expand -t 12

demo: ## Segment 300 frames of a synthetic neck; leaves a video, a picture and figures in target/demo
	@./setup.sh run
	@cargo build --release --locked --quiet -p nervelightd
	@mkdir -p $(DEMO)
	@RUST_LOG=warn $(DAEMON) run --config configs/demo.toml
	@# One picture, five seconds in.
	@gst-launch-1.0 -q filesrc location=$(DEMO)/annotated.mp4 ! decodebin ! videorate \
		! video/x-raw,framerate=1/5 ! videoconvert ! pngenc ! multifilesink location=$(DEMO)/frame.png
	@echo "Look at:   $(DEMO)/annotated.mp4   $(DEMO)/frame.png   $(DEMO)/report.json"

live: ## The same at 30 frames/s on http://127.0.0.1:8321 until Ctrl-C
	@./setup.sh run
	@cargo build --release --locked --quiet -p nervelightd
	@echo "Open http://127.0.0.1:8321 and press Ctrl-C to stop"
	@$(DAEMON) run --config configs/live.toml

test: ## Format, lints, licences and every test
	@./setup.sh test
	cargo fmt --check
	cargo clippy --quiet --workspace --locked -- -D warnings
	$(TENSORRT_TESTS) cargo clippy --quiet --workspace --all-targets --features $(TENSORRT_FEATURES) --locked -- -D warnings
	cargo deny --log-level error check bans licenses sources
	$(TENSORRT_TESTS) cargo build --quiet --workspace --bins --features $(TENSORRT_FEATURES) --locked
	$(TENSORRT_TESTS) cargo nextest run --workspace --features $(TENSORRT_FEATURES) --locked

# The release build; one test after the other, so that none disturbs another's figures.
proof: ## The tests' high counts and long durations (an hour or so); prints one table
	@./setup.sh test
	@rm -rf target/proof
	$(TENSORRT_TESTS) cargo build --release --quiet --workspace --bins --features $(TENSORRT_FEATURES) --locked
	NERVELIGHT_PROOF=1 $(TENSORRT_TESTS) cargo nextest run --release --workspace --features $(TENSORRT_FEATURES) --locked \
		--profile proof -E 'test(/proof/)'
	@echo "| what | found | bound |"; echo "|---|---|---|"; sort target/proof/rows.md

# With the system's TensorRT where its headers are installed, as on a Jetson; else with the fetched headers and the
# fetched runtime, which builds no engines.
gpu: ## Run the tests that need an NVIDIA GPU; docs/jetson.md says what else they need
	@./setup.sh gpu
	$(if $(wildcard /usr/include/*-linux-gnu/NvInfer.h),$(filter TENSORRT_RTX_%,$(TENSORRT_TESTS)),$(TENSORRT_TESTS)) \
		LD_LIBRARY_PATH=$${LD_LIBRARY_PATH:+$$LD_LIBRARY_PATH:}$(FETCHED_TENSORRT)/lean \
		RUST_BACKTRACE=0 cargo nextest run -p nervelight-engines --features $(TENSORRT_FEATURES) --locked --run-ignored only --no-capture \
		-E 'test(gpu_tests::)'

bench: ## Measure phantom, engine, pipeline, scan and training step
	@./setup.sh train
	cargo build --release --locked --quiet -p nervelightd
	cargo bench --locked --quiet -p nervelight-phantom -p nervelight-engines
	cargo bench --locked --quiet -p nervelight-tests
	cargo bench --locked --quiet -p nervelight-train --bench scan --bench step

trainer: ## Build the trainer: target/release/nervelight-train
	@./setup.sh train
	cargo build --release --locked -p nervelight-train

install: ## Install the daemon as a service on this machine (as root)
	@./setup.sh run
	cargo build --release --locked -p nervelightd $(DAEMON_FEATURES)
	install -D -m 755 $(DAEMON) $(DESTDIR)/usr/bin/nervelightd
	install -D -m 644 -t $(DESTDIR)/usr/lib/nervelight $${XDG_CACHE_HOME:-$$HOME/.cache}/nervelight/lib*.so*
	install -D -m 644 systemd/nervelightd.service $(DESTDIR)/usr/lib/systemd/system/nervelightd.service
	install -D -m 644 systemd/nervelight.sysusers.conf $(DESTDIR)/usr/lib/sysusers.d/nervelight.conf
	install -D -m 644 systemd/nervelight.tmpfiles.conf $(DESTDIR)/usr/lib/tmpfiles.d/nervelight.conf
	install -D -m 644 README.md $(DESTDIR)/usr/share/doc/nervelight/README.md
	[ -e $(DESTDIR)/etc/nervelight/cart.toml ] || install -D -m 644 configs/cart.toml $(DESTDIR)/etc/nervelight/cart.toml
	@echo "Now: systemd-sysusers && systemd-tmpfiles --create, put a bundle at /var/lib/nervelight/model.bundle,"
	@echo "edit /etc/nervelight/cart.toml, and: systemctl enable --now nervelightd"
