# SPDX-License-Identifier: GPL-2.0
#
# make help lists the targets. The modules themselves are described in Kbuild.

# The kernels to run: built trees of the user's own, or names of the table of kernels
# (runner/xmtest kernel).
ifdef KDIR
$(if $(word 2,$(KDIR)),$(error KDIR is one directory, with no blank in its name))
override KDIR := $(abspath $(KDIR))
kernels	:= $(KDIR)
else
kernels	:= $(KERNEL)
endif
build	:= $(or $(KDIR),/lib/modules/$(shell uname -r)/build)
# For what needs a kernel with everything that sees a mistake, and gcov
debug	:= $(or $(kernels),7.3)

TESTS	?= *
STOCK	?= 7.x 6.12 6.1
CALLS	?= 1000000
LOADS	?= 1000
MINUTES	?= 10
N	?= 200

# The runner is in Python, which a small machine may lack.
python	:= { command -v python3 >/dev/null || runner/sh/deps.sh; } &&
xmtest	:= @$(python) runner/xmtest
k	= $(1:%=-k %)
tests	= -t '$(TESTS)'

.PHONY: bench bisect bisect-demo boots check check-all check-stock clean compare
.PHONY: coverage demo dkms-install dkms-remove fresh fuzz help install junit
.PHONY: lifecycle lint list merge modules peer-bugs planted race-holds race-matrix
.PHONY: report report-check self-mutants selftests shell soak summary verdict
.DEFAULT_GOAL := modules

modules:
	$(MAKE) -C $(build) M=$(CURDIR) modules

clean:
	$(MAKE) -C $(build) M=$(CURDIR) clean

selftests:
	$(xmtest) programs $(KDIR)

list:
	$(xmtest) list $(tests)

check:
	$(xmtest) check $(call k,$(kernels)) $(tests) $(SHARD:%=--shard %) $(if $(FAILED),--failed)

check-all:
	$(xmtest) check -k 6.1 -k 6.12 -k 7.3 $(tests)

check-stock:
	$(xmtest) check $(call k,$(STOCK:%=dkms-%)) $(tests)

verdict:
	$(xmtest) verdict $(call k,$(kernels))

compare:
	$(xmtest) compare --base '$(BASE)' $(call k,$(kernels)) $(tests)

bisect:
	$(xmtest) bisect -k '$(KDIR)' --good '$(GOOD)' --bad '$(BAD)' $(tests)

coverage:
	$(xmtest) coverage $(call k,$(debug)) $(tests)

junit:
	$(xmtest) junit $(LOG:%=--log %)

report:
	@$(python) runner/report.py $(LOG) $(BASE:%=--base %) -o $(or $(OUT),report.html)

report-check:
	@runner/sh/report-check.sh

summary:
	$(xmtest) summary $(LOG:%=--log %)

merge:
	$(xmtest) merge $(LOGS)

demo:
	$(xmtest) demo $(call k,$(kernels)) -- $(DEMO)

bench:
	$(xmtest) bench $(call k,$(debug)) $(BASE:%=--base %) -- $(BENCH)

shell:
	$(xmtest) shell $(call k,$(kernels))

fuzz:
	$(xmtest) long $(call k,$(debug)) -- abuse_fuzz --calls $(CALLS) $(SEED:%=--seed %) $(if $(BLIND),--blind)

lifecycle:
	$(xmtest) long $(call k,$(debug)) -- XM_LOADS=$(LOADS) abuse_lifecycle

soak:
	$(xmtest) soak $(call k,$(debug)) --minutes $(MINUTES)

race-matrix:
	$(xmtest) race-matrix $(call k,$(debug)) $(SHARD:%=--shard %) $(CELLS)

race-holds:
	$(xmtest) race-holds $(call k,$(kernels)) $(SHARD:%=--shard %) $(if $(COUNT),--count) \
		$(WINDOWS:%=--windows %) $(CELLS)

peer-bugs:
	$(xmtest) peer-bugs $(call k,$(debug)) $(tests)

self-mutants:
	$(xmtest) mutants $(call k,$(debug)) $(MUTANTS)

planted:
	$(xmtest) planted $(FAULTS)

bisect-demo:
	@runner/sh/bisect-demo.sh $(COMMIT)

boots:
	$(xmtest) boots $(call k,$(kernels)) --count $(N)

install:
	@runner/sh/install.sh '$(DESTDIR)' $(KDIR)

fresh:
	@runner/sh/fresh.sh make $(or $(RUN),demo)

lint:
	@runner/sh/lint.sh

dkms-install dkms-remove:
	@runner/sh/dkms.sh $(@:dkms-%=%)

help:
	@sed 's/^/  /' runner/help
