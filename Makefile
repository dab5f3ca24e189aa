# Every target sets up what it needs: the environment of launch_training.sh, and what tests/requirements.txt adds.
python = python=$$(launch/environment.sh requirements.txt tests/requirements.txt) && "$$python"

.PHONY: test style quality bench

test: ## run every test; the summary counts what was skipped, by reason
	@$(python) -m pytest

style: ## put the code into the project's style
	@$(python) -m ruff format . && "$$python" -m ruff check --fix .

quality: ## say what is not in the project's style
	@$(python) -m ruff check . && "$$python" -m ruff format --check .

bench: ## the measurements of benchmarks/, one after the other
	@$(python) -c '' && for file in benchmarks/*.py; do echo "== $$file" && "$$python" "$$file" || exit; done
