# Search, retrain the winner, export. A target that needs the environment makes it first.
#
#: For users
#:   make search STUDY=cnn_digits      create a study or go on with it: search, retrain the winner on all data, export
#:        [OBJECTIVE=…] [SIZE=quick|hour|full] [TRIALS=…] [EPOCHS=…] [TRAIN_SIZE=…] [CHILDREN=…] [TIMEOUT=30m] [SOURCE=…]
#:        [FIRST=NAME,…: points that the objective names, or winners of studies, tried first instead of its own]
#:        [HOURS=8: of training, all machines together, instead of TRIALS] [UNTIL=.9: a value that is enough]
#:        [TRIAL_TIMEOUT=1h: a longer trial is pruned] [MAX_PARAMS=1e6] [MAX_FLOPS=1e8: of the networks]
#:        [SAMPLER='TPESampler(multivariate=True)'] [PRUNER=HyperbandPruner] [SAMPLER=mypackage.MySampler]
#:        [DIRECTION=maximize|minimize] [CHANGED=1: your own objective's file was edited, go on with it]
#:   make worker [STUDY=…]             join a study from this machine too; without a name, every open study
#:        [WAIT=1]                       where there is nothing to do, until there is
#:        [TRUST=1]                      also those whose objective is a .py file that only the database names
#:   make status [STUDY=…] [TRIAL=…]   all studies, one study, or one trial with the end of its log
#:   make delete STUDY=…               a study and its refit, with their trials and files; what was exported stays
#:   make refit STUDY=…                train the best trial's hyperparameters on all data
#:   make export STUDY=… [TO=DIR]      the model and its report into exports/STUDY, also during a search;
#:        [TEST=1]                       scores the test set, which is counted
#:   make check OBJECTIVE=…            one minute before a night: does this objective, or path/to/mine.py, hold together
#:   make dashboard [PORT=8080]        look at the studies in a browser, on this machine
#:
#:   With each: STORAGE=URL (sqlite:///studies.db; many machines: postgresql://user@host/database), FILES=…, DATA_DIR=…
#:   A password is safest in the environment: export SEARCH_STORAGE=postgresql://user:password@host/database
#:
#: For developers
#:   make test       the tests: under twenty minutes on two slow cores
#:   make integration  what needs more, which it installs: PgBouncer (apt-get), buckets, PyTorch, Hydra (pip)
#:   make contract OPTUNA=5.0.0   what is taken for granted of Optuna, with another version of it
#:   make soak       the long fault runs
#:   make lint       format, lint, types
#:   make example    write studies.db.example from a real search
#:   make bench-service    what the service costs beside plain Optuna, without training; goes on from its table
#:   make bench-train      a training step beside a bare fit, the notebooks' and PyTorch's, whose own environment it makes
#:   make bench-notebooks  the original recipes at full length, beside what they reported; hours, goes on likewise
#:   make bench-levers     what levers of fast training are worth; an hour without its table, goes on likewise
#:   make bench-recipes    whether another recipe is better, and bfloat16 as good as float32; two hours, goes on likewise
#:   make bench-proxies    which cheap training ranks recipes as the long one does; hours, goes on likewise
#:   make bench-search     samplers and pruners on the learning curves in SEARCH_SURROGATES; hours, goes on likewise
#:   make bench-pays       whole searches beside the same seconds spent otherwise; hours, goes on likewise
#:   make .venv      make or renew the environment

.DEFAULT_GOAL := help
.PHONY: help search worker status delete refit export check dashboard test integration contract soak lint example bench-service bench-train bench-notebooks bench-levers bench-recipes bench-proxies bench-search bench-pays .venv

# The storage's URL may hold a password: it goes by the environment alone, in no argument list and once only.
export SEARCH_BY_MAKE := make
ifneq ($(value STORAGE),)
export SEARCH_STORAGE := $(value STORAGE)
export SEARCH_BY_MAKE := make STORAGE
endif
unexport STORAGE MAKEFLAGS MAKEOVERRIDES MFLAGS

# Data that lies beside the checkout is taken where nothing else is said.
ifeq ($(origin SEARCH_DATA_DIR)$(wildcard ../shared/datasets),undefined../shared/datasets)
export SEARCH_DATA_DIR := $(abspath ../shared/datasets)
endif

# A value as one word of the command line, whatever is in it. Single quotes keep each recipe one simple command, which
# make starts without a shell: a shell in between would not pass signals on.
quoted = '$(subst ','\'',$(1))'
flag = $(if $(value $(2)), --$(1)=$(call quoted,$(value $(2))))
yes = $(if $(filter-out 0 no,$(value $(2))), --$(1))
needs = $(if $(filter $(1),$(MAKECMDGOALS)),$(if $(value $(2)),,$(error $(2) is missing. Type: make $(1) $(2)=$(3))))

# A variable that is none of these would not be missed: it was mistyped.
variables = STUDY OBJECTIVE SIZE TRIALS EPOCHS TRAIN_SIZE CHILDREN TIMEOUT SOURCE FIRST SAMPLER PRUNER HOURS UNTIL TRIAL_TIMEOUT \
    MAX_PARAMS MAX_FLOPS DIRECTION CHANGED TRUST WAIT TRIAL TO TEST PORT STORAGE FILES DATA_DIR OPTUNA
unknown := $(foreach name,$(.VARIABLES),$(if $(filter command,$(origin $(name))),$(name)))
unknown := $(filter-out $(variables) SEARCH_% MAKE% -%,$(unknown))
nearest = $(shell python3 -S -c 'import difflib, sys; print(*difflib.get_close_matches(sys.argv[1].upper(), sys.argv[2:], 1))' $(call quoted,$(1)) $(variables) 2>/dev/null)
ifneq ($(unknown),)
meant := $(call nearest,$(firstword $(unknown)))
$(error There is no variable $(unknown).$(if $(meant), Did you mean $(meant)?) There are: $(variables))
endif

$(call needs,search,STUDY,cnn_digits)
$(call needs,refit,STUDY,cnn_digits)
$(call needs,delete,STUDY,cnn_digits)
$(call needs,export,STUDY,cnn_digits)
$(call needs,check,OBJECTIVE,cnn_digits)
$(call needs,contract,OPTUNA,5.0.0)

# One letter apart: what is meant is said, as neither would be missed.
ifneq ($(and $(filter search worker,$(MAKECMDGOALS)),$(value TRIAL)),)
$(error TRIAL is the number of a trial, for make status. The budget is TRIALS)
endif
ifneq ($(and $(filter status,$(MAKECMDGOALS)),$(value TRIAL)),)
$(call needs,status,STUDY,cnn_digits)
endif

service = .venv/bin/python -m search
study = $(if $(value STUDY), $(call quoted,$(value STUDY)))
studies = $(foreach name,$(value STUDY),$(call quoted,$(name)))
trial = $(if $(value TRIAL), $(call quoted,$(value TRIAL)))
files = $(call flag,files,FILES)
machine = $(call flag,children,CHILDREN)$(call flag,data-dir,DATA_DIR)$(call flag,timeout,TIMEOUT)
definition = $(call flag,objective,OBJECTIVE)$(call flag,size,SIZE)$(call flag,source,SOURCE)$(call flag,direction,DIRECTION)$(call flag,first,FIRST)$(call flag,sampler,SAMPLER)$(call flag,pruner,PRUNER)
changed = $(call yes,changed,CHANGED)
limits = $(call flag,hours,HOURS)$(call flag,until,UNTIL)$(call flag,trial-timeout,TRIAL_TIMEOUT)$(call flag,max-params,MAX_PARAMS)$(call flag,max-flops,MAX_FLOPS)
spending = $(call flag,trials,TRIALS)$(call flag,epochs,EPOCHS)$(call flag,train-size,TRAIN_SIZE)

help:
	@sed -n 's/^#: \{0,1\}//p' Makefile

search: .venv
	$(service) run$(study)$(definition)$(spending)$(limits)$(changed)$(machine)$(files)

worker: .venv
	$(service) worker $(studies)$(call yes,wait,WAIT)$(call yes,trust,TRUST)$(changed)$(machine)$(files)

status: .venv
	$(service) status$(study)$(trial)$(files)

delete: .venv
	$(service) delete$(study)$(files)

refit: .venv
	$(service) refit$(study)$(machine)$(files)

export: .venv
	$(service) export$(study)$(call flag,to,TO)$(call yes,test,TEST)$(call flag,data-dir,DATA_DIR)$(files)

check: .venv
	$(service) check $(call quoted,$(value OBJECTIVE))$(call flag,size,SIZE)$(call flag,data-dir,DATA_DIR)$(call flag,direction,DIRECTION)$(files)

dashboard: .venv
	$(service) dashboard$(call flag,port,PORT)$(files)

test: .venv
	.venv/bin/python -m pytest -n 2 --dist worksteal

integration: .venv
	.venv/bin/python -m tests.integration.system
	.venv/bin/python -m tests.integration.environment
	.venv/bin/python -m pytest -m integration

contract: .venv
	.venv/bin/python -m tests.against_optuna $(call quoted,$(value OPTUNA))

soak: .venv
	.venv/bin/python -m pytest -m soak

lint: .venv
	.venv/bin/ruff format --check
	.venv/bin/ruff check
	.venv/bin/mypy

example: .venv
	.venv/bin/python -m benchmarks.example

bench-service: .venv
	.venv/bin/python -m benchmarks.service

bench-train: .venv
	.venv/bin/python -m benchmarks.train

bench-notebooks: .venv
	.venv/bin/python -m benchmarks.notebooks

bench-levers: .venv
	.venv/bin/python -m benchmarks.levers
	.venv/bin/python -m benchmarks.equal_cost

bench-recipes: .venv
	.venv/bin/python -m benchmarks.recipes
	.venv/bin/python -m benchmarks.recipes --objective cnn_cifar10

bench-proxies: .venv
	.venv/bin/python -m benchmarks.search.proxies

bench-search: .venv
	.venv/bin/python -m benchmarks.search.replay

bench-pays: .venv
	.venv/bin/python -m benchmarks.search.pays

.venv:
	@for python in .venv/bin/python python3 python3.13 python3.12 python3.11; do \
	    "$$python" -S -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null \
	    && exec "$$python" -S environment.py; \
	done; echo "There is no Python 3.11, 3.12 or 3.13 here. Install one (apt-get install python3.11 python3.11-venv), then type make again." >&2; exit 1
