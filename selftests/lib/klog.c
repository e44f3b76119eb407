// SPDX-License-Identifier: GPL-2.0
/*
 * The kernel log, see klog.h.
 */
#include <fcntl.h>
#include <poll.h>
#include <regex.h>

#include "klog.h"
#include "pagemap.h"
#include "xm.h"

/* The prefix of lines that tests write to the log */
#define MARK	"xmirror-test: "

int klog_open(struct klog *log)
{
	int err;

	*log = (struct klog){
		.fd = open("/dev/kmsg", O_RDONLY | O_NONBLOCK | O_CLOEXEC),
	};
	if (log->fd >= 0 && lseek(log->fd, 0, SEEK_END) >= 0)
		return 0;
	err = -errno;
	klog_close(log);
	return err;
}

void klog_close(struct klog *log)
{
	if (log->fd >= 0)
		close(log->fd);
	free(log->text);
	*log = (struct klog){ .fd = -1 };
}

/*
 * "6,1234,5678,-;text\n KEY=value\n": the text, with its line feed. The tests' own
 * lines are left out: an announcement is not the report.
 */
static int add_record(struct klog *log, char *record)
{
	char *text = strchr(record, ';');
	size_t n;
	char *all;

	if (!text)
		return 0;
	if (!strncmp(++text, MARK, strlen(MARK)))
		return 0;
	n = strcspn(text, "\n");
	all = realloc(log->text, log->len + n + 2);
	if (!all)
		return -ENOMEM;
	memcpy(all + log->len, text, n);
	memcpy(all + log->len + n, "\n", 2);
	log->text = all;
	log->len += n + 1;
	return 0;
}

/* Each read() gets one record. EPIPE: some were overwritten. */
static void add_new(struct klog *log)
{
	char record[8192];
	ssize_t n;

	while ((n = read(log->fd, record, sizeof(record) - 1)) > 0 ||
	       (n < 0 && errno == EPIPE)) {
		if (n < 0)
			continue;
		record[n] = 0;
		if (add_record(log, record))
			break;
	}
}

static unsigned int matches(struct klog *log, const char *pattern)
{
	regmatch_t match;
	unsigned int n = 0;
	const char *text;
	regex_t re;

	add_new(log);
	if (!log->text || regcomp(&re, pattern, REG_EXTENDED | REG_NEWLINE))
		return 0;
	for (text = log->text; *text && !regexec(&re, text, 1, &match, 0); n++) {
		text += match.rm_eo;
		text += strcspn(text, "\n");
	}
	regfree(&re);
	return n;
}

bool klog_has(struct klog *log, const char *pattern)
{
	return matches(log, pattern);
}

int klog_wait(struct klog *log, const char *pattern, unsigned int times)
{
	struct pollfd more = { .fd = log->fd, .events = POLLIN };
	__u64 start = xm_now_ns();

	while (matches(log, pattern) < times) {
		if (xm_expired(start, XM_LONG))
			return -ETIMEDOUT;
		poll(&more, 1, XM_LONG);
	}
	return 0;
}

bool klog_has_debug_vm(void)
{
	static int known = -1;

	if (known < 0)
		known = xm_symbol("dump_mm", "", NULL);
	return known;
}

/* A VM_WARN_ON_ONCE() of Linux 6.19 to 7.3 */
bool klog_has_shared_huge(void)
{
	return xm_kver() <= XM_KVER(7, 3) && xm_has_soft_dirty() &&
	       klog_has_debug_vm();
}

bool klog_is_shared_huge(const char *line)
{
	return klog_has_shared_huge() && strstr(line, " remove_migration_pmd+");
}

bool klog_is_report(const char *line)
{
	static regex_t re;
	static bool compiled;

	if (!compiled &&
	    regcomp(&re, KLOG_REPORTS, REG_EXTENDED | REG_NOSUB))
		return true;
	compiled = true;
	/* A fault of a program is none of the kernel's. */
	return strncmp(line, "traps: ", 7) &&
	       !regexec(&re, line, 0, NULL, 0);
}

void klog_expect(const char *count, const char *pattern)
{
	char line[512];

	snprintf(line, sizeof(line), MARK "expect %s %s\n", count,
		 pattern);
	xm_write_file("/dev/kmsg", line);
}

void klog_expected(void)
{
	xm_write_file("/dev/kmsg", MARK "expected\n");
}

static bool scan_warns(bool private)
{
	return xm_kver() >= XM_KVER(6, 10) &&
	       (private || xm_kver() < XM_KVER(6, 15));
}

void klog_expect_scan(bool private)
{
	if (scan_warns(private))
		klog_expect("0-1", KLOG_WARNING("__page_table_check_ptes_set"));
}

void klog_expected_scan(bool private)
{
	if (scan_warns(private))
		klog_expected();
}
