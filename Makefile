# SPDX-License-Identifier: GPL-2.0
#
# make help lists the targets. The modules themselves are described in Kbuild.

KERNEL	?= 7.3
TESTS	?= *
STOCK	?= 7.x 6.12 6.1
CALLS	?= 1000000
LOADS	?= 1000
MINUTES	?= 10

# The kernels to run: a built tree of the user's own, or versions that
# guest/kernel.sh builds.
ifdef KDIR
override KDIR := $(abspath $(KDIR))
kernels	:= $(KDIR)
else
kernels	:= $(KERNEL)
endif
build	:= $(or $(KDIR),/lib/modules/$(shell uname -r)/build)

# Without a kernel named, the demo takes Debian's own: no kernel build needed.
ifeq ($(origin KERNEL)$(KDIR),file)
demo	:= stock
else
demo	:= $(kernels)
endif

.PHONY: self-mutants modules clean selftests demo check check-all check-stock shell bench
.PHONY: lint peer-bugs install junit fuzz lifecycle soak coverage race-matrix fresh
.PHONY: dkms-install dkms-remove help
.DEFAULT_GOAL := modules

modules:
	$(MAKE) -C $(build) M=$(CURDIR) modules

clean:
	$(MAKE) -C $(build) M=$(CURDIR) clean

selftests:
	@guest/deps.sh
	@guest/programs.sh $(or $(KDIR),/)

check:
	@guest/check.sh -t '$(TESTS)' $(kernels)

check-all:
	@guest/check.sh -t '$(TESTS)' 6.1 6.12 7.3

check-stock:
	@guest/check.sh -t '$(TESTS)' $(STOCK:%=dkms-%)

coverage:
	@guest/coverage.sh -t '$(TESTS)' $(firstword $(kernels))

install:
	@guest/install.sh '$(DESTDIR)' $(KDIR)

junit:
	@guest/junit.sh $(LOG)

demo:
	@guest/start.sh demo $(demo)

bench:
	@guest/start.sh bench $(firstword $(kernels)) $(BENCH)

fresh:
	@guest/fresh.sh $(MAKE) demo

shell:
	@guest/start.sh shell $(kernels)

fuzz:
	@guest/long.sh 24 $(firstword $(kernels)) abuse_fuzz --calls $(CALLS) $(SEED:%=--seed %) $(if $(BLIND),--blind)

soak:
	@guest/soak.sh $(MINUTES) $(firstword $(kernels))

race-matrix:
	@guest/long.sh 24 $(firstword $(kernels)) race_matrix --all $(CELLS:%=-r %)

lifecycle:
	@guest/long.sh 24 $(firstword $(kernels)) XM_LOADS=$(LOADS) abuse_lifecycle

peer-bugs:
	@guest/peer-bugs.sh -t '$(TESTS)' $(kernels)

self-mutants:
	@guest/mutants.sh

lint:
	@guest/lint.sh

dkms-install dkms-remove:
	@guest/dkms.sh $(@:dkms-%=%)

help:
	@echo 'modules       build xmirror.ko and xmirror_test.ko for KDIR (default)'
	@echo 'selftests     build the test, demo and benchmark programs'
	@echo 'demo          run the demo in a guest'
	@echo 'check         run the tests in a guest'
	@echo 'check-all     run the tests on all kernels: 6.1 6.12 7.3'
	@echo 'fresh         the demo in a Debian that has nothing installed'
	@echo "check-stock   run the tests on Debian's kernels, modules by DKMS"
	@echo 'coverage      lines of the modules that the tests run, by file'
	@echo 'fuzz          CALLS calls of the fuzzer, with SEED=number to repeat'
	@echo "race-matrix   all races, as a table; CELLS='read evict.unmap' for some"
	@echo 'soak          MINUTES of everything at once'
	@echo 'lifecycle     load and unload the modules LOADS times, and the rest'
	@echo 'install       install the tests like kselftest in DESTDIR'
	@echo 'junit         the last check, or LOG=directory, as JUnit XML'
	@echo 'bench         run the benchmark on a kernel without debugging'
	@echo '              BENCH="--quick --only migrate" and the like'
	@echo 'shell         a shell in a guest with the modules loaded'
	@echo 'peer-bugs     the bugs of the kernel'"'"'s own test device, there and here'
	@echo 'self-mutants  deliberate mistakes in the modules, and what catches them'
	@echo 'lint          all checks that need no guest'
	@echo 'dkms-install  install the modules on this machine through DKMS'
	@echo 'dkms-remove   undo dkms-install'
	@echo 'clean         remove what modules built'
	@echo
	@echo 'KERNEL="6.1 6.12 7.3"  kernels for the guest, built once ($(KERNEL))'
	@echo 'KDIR=path              a built kernel tree, instead of KERNEL'
	@echo 'STOCK="7.x 6.12 6.1"    for check-stock'
	@echo "TESTS='glob'           names of the test programs to run (*)"
