// SPDX-License-Identifier: GPL-2.0
/*
 * The demo: what it prints.
 */
#include <stdarg.h>

#include "demo.h"

#define MAX_WRONG	20	/* reasons that are kept */

/* So many forks that one of the children sees the device go on. */
#define FORKS_ENOUGH	50

static pthread_mutex_t wrong_lock = PTHREAD_MUTEX_INITIALIZER;
static char wrong[MAX_WRONG][160];
static unsigned int nr_wrong;

void complain(const char *fmt, ...)
{
	char text[sizeof(wrong[0])];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	pthread_mutex_lock(&wrong_lock);
	if (nr_wrong < MAX_WRONG) {
		memcpy(wrong[nr_wrong], text, sizeof(text));
		printf("WRONG: %s\n", text);
	}
	nr_wrong++;
	pthread_mutex_unlock(&wrong_lock);
	XM_STORE(&stop, true);
}

const char *number(__u64 n)
{
	static __thread char text[8][32];
	static __thread unsigned int turn;
	char *p = text[turn++ % 8] + 31;
	int digits = 0;

	*p = 0;
	do {
		if (digits && digits % 3 == 0)
			*--p = ',';
		*--p = '0' + n % 10;
		n /= 10;
		digits++;
	} while (n);
	return p;
}

const char *plural(unsigned int n)
{
	return n == 1 ? "" : "s";
}

/* Every second */

static void get_stats(struct xmirror_stats *sum)
{
	struct xmirror_stats s;
	unsigned int i, k;
	int err;

	memset(sum, 0, sizeof(*sum));
	for (i = 0; i < opt.devices; i++) {
		err = xm_stats(device[i], &s);
		if (err) {
			complain("xmirror%u: STATS: %s", i, strerror(-err));
			return;
		}
		for (k = 0; k < XMIRROR_NR_EVENTS; k++)
			sum->inv[k] += s.inv[k];
		sum->inv_own += s.inv_own;
		sum->ops += s.ops;
		sum->device_faults += s.device_faults;
		sum->excl_made += s.excl_made;
		sum->excl_lost += s.excl_lost;
		sum->excl_retries += s.excl_retries;
		sum->fault_retries += s.fault_retries;
		sum->jobs += s.jobs;
	}
}

__u64 verify(void)
{
	struct xmirror_verify v;
	__u64 checked = 0;
	char text[120];
	unsigned int i;
	int err;

	for (i = 0; i < opt.devices; i++) {
		err = xm_verify(device[i], &v);
		if (err) {
			complain("xmirror%u: VERIFY: %s", i, strerror(-err));
			continue;
		}
		checked += v.checked;
		if (!v.violations)
			continue;
		snprintf(text, sizeof(text),
			 "%llu violations, first of kind %u at %#llx (page %lld of %u)",
			 v.violations, v.first_kind, v.first_addr,
			 (long long)(v.first_addr - (uintptr_t)map) /
			 (long long)XM_PAGE, map_pages);
		complain("xmirror%u: VERIFY: %s", i, text);
	}
	return checked;
}

void print_head(void)
{
	printf("%6s %12s %12s %9s | %9s %9s | %6s %6s | %6s %6s %6s %6s %6s %6s %6s\n",
	       "", "CPU", "device", "device", "exclusive", "exclusive", "",
	       "other", "UNMAP", "CLEAR", "PROT", "PROT", "SOFT", "MI-",
	       "EXCLU-");
	printf("%6s %12s %12s %9s | %9s %9s | %6s %6s | %6s %6s %6s %6s %6s %6s %6s\n",
	       "time", "ops", "ops", "faults", "made", "lost", "forks", "mm ops",
	       "", "", "VMA", "PAGE", "DIRTY", "GRATE", "SIVE");
}

void print_line(__u64 start)
{
	static const enum xm_event events[] = {
		XM_EV_UNMAP, XM_EV_CLEAR, XM_EV_PROTECTION_VMA,
		XM_EV_PROTECTION_PAGE, XM_EV_SOFT_DIRTY, XM_EV_MIGRATE,
		XM_EV_EXCLUSIVE,
	};
	static struct xmirror_stats old;
	static __u64 old_cpu, old_forks, old_acts;
	__u64 cpu = total_of(false), act = acts_done();
	__u64 f = XM_LOAD(&forks);
	struct xmirror_stats s;
	unsigned int i;

	get_stats(&s);
	printf("%4llu s %12s %12s %9s | %9s %9s | %6s %6s |",
	       (xm_now_ns() - start) / 1000000000, number(cpu - old_cpu),
	       number(s.ops - old.ops),
	       number(s.device_faults - old.device_faults),
	       number(s.excl_made - old.excl_made),
	       number(s.excl_lost - old.excl_lost), number(f - old_forks),
	       number(act - old_acts));
	for (i = 0; i < ARRAY_SIZE(events); i++)
		printf(" %6s", number(s.inv[events[i]] - old.inv[events[i]]));
	printf("\n");
	fflush(stdout);
	old = s;
	old_cpu = cpu;
	old_forks = f;
	old_acts = act;
}

/* The end */

/** ask_device: read all counters by device loads. */
static void ask_device(__u64 *values)
{
	struct xmirror_cmd cmds[256];
	struct xmirror_wait w;
	unsigned int i, n, done;
	__u64 fence;
	int err;

	for (done = 0; done < nr_counters; done += n) {
		n = nr_counters - done < 256 ? nr_counters - done : 256;
		for (i = 0; i < n; i++)
			cmds[i] = xm_cmd(XMIRROR_OP_LOAD, width_of(done + i),
					 address_of(done + i), 0);
		err = xm_submit(device[0], 0, cmds, n, 1, &fence);
		if (!err)
			err = xm_wait_results(device[0], fence, STALL_MS,
					      values + done, n, &w);
		if (!err)
			err = w.status;
		if (err) {
			complain("reading the counters by the device: %s",
				 strerror(-err));
			return;
		}
	}
}

/** compare: print the table; returns the number of counters that are off. */
static unsigned int compare(void)
{
	__u64 *dev = calloc(nr_counters, sizeof(*dev));
	unsigned int i, off = 0;
	bool all = nr_counters <= 64;

	if (!dev) {
		complain("out of memory");
		return nr_counters;
	}
	ask_device(dev);
	printf("\n%8s %6s %6s %22s %22s %22s\n", "counter", "page", "bytes",
	       "expected", "CPU reads", "device reads");
	for (i = 0; i < nr_counters; i++) {
		__u64 expected = low_of(i) & mask_of(i);
		__u64 actual = value_of(i);
		bool ok = actual == expected && dev[i] == expected;

		off += !ok;
		if (!ok || all)
			printf("%8u %6u %6u %22s %22s %22s  %s\n", i,
			       i / WIDTHS, width_of(i), number(expected),
			       number(actual), number(dev[i]),
			       ok ? "ok" : "WRONG");
	}
	if (!all)
		printf("%8s %u of %u counters are exact\n", "",
		       nr_counters - off, nr_counters);
	free(dev);
	return off;
}

int conclude(void)
{
	struct xmirror_stats s;
	unsigned int i, off, engines;
	__u64 checked, gave_up = 0;

	off = compare();
	printf("\n");
	print_third();
	get_stats(&s);
	for (i = 0; i < nr_workers; i++)
		gave_up += worker[i].gave_up;
	printf("devices: %s jobs (%s gave up under too much interference), ",
	       number(s.jobs), number(gave_up));
	printf("%s faults, %s exclusive entries made and lost before their commit\n",
	       number(s.device_faults), number(s.excl_retries));
	checked = verify();
	printf("VERIFY: %s device entries looked at in the end\n",
	       number(checked));

	for (i = 0; i < nr_workers; i++) {
		char name[40];

		name_worker(&worker[i], name, sizeof(name));
		if (!XM_LOAD(worker[i].total))
			complain("%s made no increment", name);
	}
	if (off)
		complain("%u of %u counters are off", off, nr_counters);
	if (!forks)
		complain("there was no fork");
	/* On a starved machine few children say nothing of who goes on. */
	else if (forks >= FORKS_ENOUGH && (!saw_cpu || !saw_device))
		complain("no child saw the %s go on",
			 saw_cpu ? "device" : "CPU");

	engines = opt.engines * opt.devices;
	printf("\nxmirror: %s increments by %u CPU thread%s and %s by %u device engine%s",
	       number(total_of(false)), opt.threads, plural(opt.threads),
	       number(total_of(true)), engines, plural(engines));
	printf(" on %u counters, under %s forks and %s other mm operations: ",
	       nr_counters, number(forks), number(acts_done()));
	if (!nr_wrong) {
		printf("every counter is exact.\n");
		return 0;
	}
	printf("%s, and there were %u complaints:\n",
	       off ? "NOT EXACT" : "every counter is exact", nr_wrong);
	for (i = 0; i < nr_wrong && i < MAX_WRONG; i++)
		printf("  %s\n", wrong[i]);
	return EXIT_WRONG;
}
