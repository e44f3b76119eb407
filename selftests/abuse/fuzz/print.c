// SPDX-License-Identifier: GPL-2.0
/*
 * A step as a statement in C.
 */
#include "fuzz.h"

struct field {
	const char *name;
	size_t at, size;
};

#define F(type, field) \
	{ #field, offsetof(struct xmirror_##type, field), \
	  sizeof(((struct xmirror_##type *)0)->field) }

#define HEAD(type)	F(type, size), F(type, flags)

static const struct field set_fields[] = {
	HEAD(set), F(set, param), F(set, value), {}
};

static const struct field range_fields[] = {
	HEAD(range), F(range, addr), F(range, length), {}
};

static const struct field rw_fields[] = {
	HEAD(rw), F(rw, addr), F(rw, length), F(rw, buf), {}
};

static const struct field submit_fields[] = {
	HEAD(submit), F(submit, engine), F(submit, nr_cmds), F(submit, cmds),
	F(submit, repeat), F(submit, eventfd), {}
};

static const struct field wait_fields[] = {
	HEAD(wait), F(wait, fence), F(wait, timeout_ms), F(wait, nr_results),
	F(wait, results), {}
};

static const struct field snapshot_fields[] = {
	HEAD(snapshot), F(snapshot, addr), F(snapshot, length),
	F(snapshot, pages), {}
};

static const struct field sync_fields[] = {
	HEAD(sync), F(sync, cmd), F(sync, action), F(sync, point),
	F(sync, event), F(sync, addr), F(sync, length), F(sync, skip),
	F(sync, timeout_ms), F(sync, error), F(sync, id), {}
};

static const struct field migrate_fields[] = {
	HEAD(migrate), F(migrate, addr), F(migrate, length), F(migrate, peer),
	{}
};

static const struct field unplug_fields[] = {
	HEAD(unplug), F(unplug, timeout_ms), {}
};

static const struct field vram_fields[] = {
	HEAD(vram), F(vram, op), F(vram, offset), F(vram, length), {}
};

static const struct field inject_fields[] = {
	HEAD(inject), F(inject, what), F(inject, error), F(inject, skip),
	F(inject, times), F(inject, delay_ms), {}
};

static const struct field cmd_fields[] = {
	F(cmd, op), F(cmd, width), F(cmd, count), F(cmd, addr),
	F(cmd, stride), F(cmd, operand), F(cmd, compare), {}
};

static const struct {
	unsigned long nr;
	const char *type;
	const struct field *fields;
} types[] = {
	{ XMIRROR_IOC_SET, "set", set_fields },
	{ XMIRROR_IOC_FAULT, "range", range_fields },
	{ XMIRROR_IOC_EXCLUSIVE, "range", range_fields },
	{ XMIRROR_IOC_RELEASE, "range", range_fields },
	{ XMIRROR_IOC_RW, "rw", rw_fields },
	{ XMIRROR_IOC_SUBMIT, "submit", submit_fields },
	{ XMIRROR_IOC_WAIT, "wait", wait_fields },
	{ XMIRROR_IOC_SNAPSHOT, "snapshot", snapshot_fields },
	{ XMIRROR_IOC_SYNC, "sync", sync_fields },
	{ XMIRROR_IOC_MIGRATE, "migrate", migrate_fields },
	{ XMIRROR_IOC_UNPLUG, "unplug", unplug_fields },
	{ XMIRROR_IOC_VRAM, "vram", vram_fields },
	{ XMIRROR_IOC_INJECT, "inject", inject_fields },
};

static void print_value(FILE *f, __u64 v)
{
	if (v == TOKEN_BUF)
		fputs("(__u64)buf", f);
	else if (v == TOKEN_PAGES)
		fputs("(__u64)pages", f);
	else if (v == TOKEN_CMDS)
		fputs("(__u64)cmds", f);
	else if (v == AREA)
		fputs("(__u64)p", f);
	else if (v >= AREA && v - AREA < SIZE && v % XM_PAGE)
		fprintf(f, "(__u64)(p + %#llx)", v - AREA);
	else if (v >= AREA && v - AREA < SIZE)
		fprintf(f, "(__u64)(p + %llu * XM_PAGE)", (v - AREA) / XM_PAGE);
	else if (v && v % XM_PAGE == 0 && v / XM_PAGE <= PAGES)
		fprintf(f, "%llu * XM_PAGE", v / XM_PAGE);
	else
		fprintf(f, v < 1000 ? "%llu" : "%#llx", v);
}

/* All of it that is not 0: false, and nothing printed, if that is not all */
static bool print_struct(FILE *f, const char *before, const char *type,
			 const struct field *fields, const void *p, size_t size)
{
	unsigned char rest[WORDS_OF_CALL * 8];
	const struct field *d;
	const char *comma = "";
	size_t i;
	__u64 v;

	memcpy(rest, p, size);
	for (d = fields; d->name; d++)
		memset(rest + d->at, 0, d->size);
	for (i = 0; i < size; i++) {
		if (rest[i])
			return false;
	}
	fprintf(f, "%s(struct xmirror_%s){", before, type);
	for (d = fields; d->name; d++) {
		v = 0;
		memcpy(&v, (const char *)p + d->at, d->size);
		if (!v)
			continue;
		fprintf(f, "%s .%s = ", comma, d->name);
		if (d->size == 4 && v == TOKEN_EVENT)
			fputs("event", f);
		else
			print_value(f, v);
		comma = ",";
	}
	fputs(" }", f);
	return true;
}

static void print_arg(FILE *f, const __u64 *step)
{
	const __u64 *w = step + WORDS;
	const struct kind *kind = &kinds[step[WHAT]];
	unsigned int i, n = WORDS_OF_CALL;

	if (step[ARGP]) {
		fputs("(void *)(", f);
		print_value(f, step[ARGP] == 1 ? 0 : step[ARGP]);
		fputc(')', f);
		return;
	}
	for (i = 0; i < ARRAY_SIZE(types); i++) {
		/* One that says it is longer reads on. */
		if (kind->nr != types[i].nr || step[NR] ||
		    (__u32)w[0] > kind->size)
			continue;
		if (print_struct(f, "&", types[i].type, types[i].fields, w,
				 WORDS_OF_CALL * 8))
			return;
	}
	while (n > 1 && !w[n - 1])
		n--;
	fputs("(__u64[XM_WORDS]){", f);
	for (i = 0; i < n; i++) {
		fputs(i ? ", " : " ", f);
		print_value(f, w[i]);
	}
	fputs(" }", f);
}

static void print_ioctl(FILE *f, const __u64 *step)
{
	const struct kind *kind = &kinds[step[WHAT]];

	fprintf(f, "xm_ioctl(fd[%llu], ", step[FD]);
	if (step[NR])
		fprintf(f, "%#llx, ", step[NR]);
	else
		fprintf(f, "XMIRROR_IOC_%s, ", kind->name);
	print_arg(f, step);
	fputs(")", f);
}

static void print_call(FILE *f, const __u64 *step, int err)
{
	const struct kind *kind = &kinds[step[WHAT]];
	const __u64 *cmds = step + CMDS;
	unsigned int i;

	for (i = 0; kind->nr == XMIRROR_IOC_SUBMIT && i < MAX_CMDS; i++) {
		struct xmirror_cmd c;

		memcpy(&c, cmds + i * WORDS_OF_CMD, sizeof(c));
		if (!c.width && !c.op && !c.count && !c.addr)
			continue;
		fprintf(f, "\tcmds[%u] = ", i);
		print_struct(f, "", "cmd", cmd_fields, &c, sizeof(c));
		fputs(";\n", f);
	}
	if (step[IN_CHILD]) {
		fputs("\tif (!fork()) {\n\t\tint err = ", f);
		print_ioctl(f, step);
		fputs(";\n\n", f);
		if (step[TOUCH]) {
			fputs("\t\tgetrandom((void *)", f);
			print_value(f, step[TOUCH]);
			fputs(", 64, 0);\n", f);
		}
		fprintf(f, "\t\t_exit(err == %d);\n\t}\n", err ? -err : 1);
		fputs("\twait(&status);\n\tEXPECT_EQ(0, status);\n", f);
	} else if (err) {
		fprintf(f, "\tEXPECT_NE(%d, ", -err);
		print_ioctl(f, step);
		fputs(");\n", f);
	} else {
		fputc('\t', f);
		print_ioctl(f, step);
		fputs(";\n", f);
	}
	if (step[REPLUG])
		fprintf(f, "\txm_ioctl(fd[%d], XMIRROR_IOC_UNPLUG, &%s{ .size = %zu, 1 });\n",
			FD_OWN, "(struct xmirror_unplug)",
			sizeof(struct xmirror_unplug));
}

static void print_open(FILE *f, const __u64 *step)
{
	if (step[FD] == FD_HMM)
		fprintf(f, "\tfd[%d] = open(\"/dev/hmm_dmirror0\", O_RDWR);\n",
			FD_HMM);
	else if (step[FD] == FD_FOREIGN || step[FD] == FD_FOREIGN_MEMORY)
		fprintf(f, "\tfd[%llu] = xm_open_foreign(%llu);\n", step[FD],
			step[DEVICE]);
	else if (step[FD] == FD_EXTRA)
		fprintf(f, "\tclose(fd[%d]);\n\tfd[%d] = xm_open(%llu);\n",
			FD_EXTRA, FD_EXTRA, step[DEVICE]);
	else
		fprintf(f, "\tfd[%llu] = xm_open(%llu);\n", step[FD],
			step[DEVICE]);
}

static void print_count(FILE *f, const __u64 *step)
{
	if (step[MIGRATE])
		fprintf(f, "\txm_migrate(fd[%d], counter, XM_PAGE, %llu, 0, NULL);\n",
			FD_OWN, step[MIGRATE] - 1);
	if (step[BY_CPU])
		fprintf(f, "\tXM_ADD(counter, %llu);\n", step[BY]);
	else
		fprintf(f, "\txm_add(fd[%d], counter, %llu);\n", FD_OWN,
			step[BY]);
	if (step[CHECK])
		fputs("\tXM_LOAD(counter);\n", f);
}

static void print_mm_op(FILE *f, const __u64 *step)
{
	static const char * const prots[] = {
		"PROT_NONE", "PROT_READ", "PROT_WRITE", "PROT_READ | PROT_WRITE",
	};
	static const char * const names[] = {
		"DONTNEED", "FREE", "COLD", "PAGEOUT", "HUGEPAGE", "NOHUGEPAGE",
		"COLLAPSE", "POPULATE_READ", "POPULATE_WRITE", "DONTFORK",
		"DOFORK", "MERGEABLE", "UNMERGEABLE",
	};
	const char *prot = prots[step[PROT] % 4];
	char range[64];

	snprintf(range, sizeof(range), "p + %llu * XM_PAGE, %llu * XM_PAGE",
		 step[PAGE], step[MORE] + 1);
	switch (step[WHAT]) {
	case MM_MAP:
		if (step[UNMAP])
			fprintf(f, "\tmunmap(%s);\n", range);
		fprintf(f, "\tmmap(%s, %s, MAP_FIXED | MAP_ANONYMOUS | %s, -1, 0);\n",
			range, prot, step[HOW] ? "MAP_SHARED" : "MAP_PRIVATE");
		break;
	case MM_FILE:
		fprintf(f, "\tmmap(%s, %s, MAP_FIXED | %s, memfd, 0);\n", range,
			prot, step[HOW] ? "MAP_PRIVATE" : "MAP_SHARED");
		break;
	case MM_VRAM:
		fprintf(f, "\tmmap(%s, %s, MAP_FIXED | MAP_SHARED, fd[%d], %#llx);\n",
			range, prot, FD_OWN, step[AT]);
		break;
	case MM_PROTECT:
		fprintf(f, "\tmprotect(%s, %s);\n", range, prot);
		break;
	case MM_ADVISE:
		fprintf(f, "\tmadvise(%s, MADV_%s);\n", range,
			names[step[HOW]]);
		break;
	case MM_MOVE:
		fprintf(f, "\tmremap(p + %llu * XM_PAGE, XM_PAGE, XM_PAGE,\n",
			step[PAGE]);
		fprintf(f, "\t       MREMAP_MAYMOVE | MREMAP_FIXED, p + %llu * XM_PAGE);\n",
			step[AT]);
		break;
	case MM_TOUCH:
		fprintf(f, "\tgetrandom(p + %llu * XM_PAGE + %llu, 64, 0);\n",
			step[PAGE], step[AT]);
		break;
	case MM_WRITE:
		fprintf(f, "\tpwrite(memfd, p + %llu * XM_PAGE, 64, %llu);\n",
			step[PAGE], step[AT]);
		break;
	}
}

void print_step(FILE *f, const __u64 *step, int err)
{
	if (step[WHAT] < KINDS)
		print_call(f, step, err);
	else if (step[WHAT] == STEP_OPEN)
		print_open(f, step);
	else if (step[WHAT] == STEP_COUNT)
		print_count(f, step);
	else
		print_mm_op(f, step);
}
