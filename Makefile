# Every target sets up what it needs: the environment of launch_training.sh, and what tests/requirements.txt adds.
python = python=$$(launch/environment.sh requirements.txt tests/requirements.txt) && "$$python"

# Threads that wait for each other sleep soon, and do not spin: see launch/processes.py.
export GOMP_SPINCOUNT ?= 1000
# Nothing leaves the machine: see launch_training.sh.
export HF_HUB_DISABLE_TELEMETRY = 1
export HF_UPDATE_DOWNLOAD_COUNTS = 0

.PHONY: test style quality bench

test: ## run every test; the summary counts what was skipped, by reason
	@$(python) -m pytest

style: ## put the code into the project's style
	@$(python) -m ruff format . && "$$python" -m ruff check --fix .

quality: ## say what is not in the project's style
	@$(python) -m ruff check . && "$$python" -m ruff format --check .

bench: ## the yardstick of the quickstart; other files in benchmarks/ say in their first lines what they need
	./launch_training.sh
	@$(python) benchmarks/nearest_character.py runs/quickstart
