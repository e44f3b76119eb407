// SPDX-License-Identifier: GPL-2.0
/*
 * Whether lib/shrink.c finds the shortest list, with lists whose shortest is known.
 * Run on the host by test.sh.
 */
#include "shrink.h"
#include "test.h"

#define STEPS	500U
#define WIDTH	3U

struct synthetic {
	unsigned int need;	/* the first number of the steps 1 to @need, in order */
	__u64 least;		/* of their second number */
	unsigned int runs;
	bool once;		/* fails the first time only */
	bool early;		/* says where it went wrong */
};

static unsigned int fails(const __u64 *steps, unsigned int nr, void *arg)
{
	struct synthetic *syn = arg;
	unsigned int i, found = 0;

	syn->runs++;
	if (syn->once && syn->runs > 1)
		return 0;
	for (i = 0; i < nr && found < syn->need; i++) {
		const __u64 *step = steps + i * WIDTH;

		if (step[0] == found + 1 && step[1] >= syn->least)
			found++;
	}
	if (found < syn->need)
		return 0;
	return syn->early ? i : nr;
}

/* Needed steps among others, the last of them long before the end */
static struct shrink list(struct synthetic *syn, __u64 *room, unsigned int most)
{
	unsigned int i, need = 0;

	for (i = 0; i < STEPS; i++) {
		room[i * WIDTH] = 1000;
		room[i * WIDTH + 1] = 0xabc00000000 + 70 + i % 3;
		room[i * WIDTH + 2] = i;
		if (i % 61 == 7 && need < syn->need)
			room[i * WIDTH] = ++need;
	}
	return (struct shrink) {
		.steps = room, .nr = STEPS, .width = WIDTH, .fails = fails,
		.arg = syn, .most = most,
	};
}

static __u64 room[STEPS * WIDTH];

TEST(pass_only_what_is_needed_stays)
{
	struct synthetic syn = { .need = 5, .least = 0xabc00000000 + 33 };
	struct shrink s = list(&syn, room, 10000);
	unsigned int i;

	ASSERT_TRUE(shrink(&s));
	ASSERT_EQ(5, s.nr);
	for (i = 0; i < 5; i++) {
		EXPECT_EQ(i + 1, room[i * WIDTH]);
		EXPECT_EQ(syn.least, room[i * WIDTH + 1]);
		EXPECT_EQ(0, room[i * WIDTH + 2]);
	}
	EXPECT_EQ(syn.runs, s.runs);
	/* Halves pay: single steps alone would take more than one run each. */
	EXPECT_GT(STEPS, s.runs);
}

TEST(pass_one_step_is_enough)
{
	struct synthetic syn = { .need = 1 };
	struct shrink s = list(&syn, room, 10000);

	ASSERT_TRUE(shrink(&s));
	EXPECT_EQ(1, s.nr);
	EXPECT_EQ(1, room[0]);
	EXPECT_EQ(0, room[1]);
}

TEST(pass_upper_half_of_an_address_stays)
{
	struct synthetic syn = { .need = 1, .least = 0xabc00000000 };
	struct shrink s = list(&syn, room, 10000);

	ASSERT_TRUE(shrink(&s));
	EXPECT_EQ(0xabc00000000, room[1]);
}

TEST(pass_nothing_after_the_failure_is_run_again)
{
	struct synthetic syn = { .need = 2, .early = true };
	struct shrink s = list(&syn, room, 1);

	ASSERT_TRUE(shrink(&s));
	/* by the one run: up to the second of the needed steps */
	EXPECT_EQ(7 + 61 + 1, s.nr);
	EXPECT_EQ(1, s.runs);
}

TEST(pass_runs_are_limited)
{
	struct synthetic syn = { .need = 5 };
	struct shrink s = list(&syn, room, 20);

	ASSERT_TRUE(shrink(&s));
	EXPECT_EQ(20, syn.runs);
	EXPECT_LT(5, s.nr);
	EXPECT_NE(0, fails(room, s.nr, &syn));
}

TEST(pass_all_steps_needed)
{
	struct synthetic syn = { .need = 3 };
	struct shrink s = list(&syn, room, 10000);

	ASSERT_TRUE(shrink(&s));
	ASSERT_EQ(3, s.nr);
	ASSERT_TRUE(shrink(&s));
	EXPECT_EQ(3, s.nr);
}

TEST(pass_what_does_not_fail_is_not_shrunk)
{
	struct synthetic syn = { .need = 5 };
	struct shrink s = list(&syn, room, 10000);

	syn.need = 6;
	EXPECT_FALSE(shrink(&s));
	EXPECT_EQ(STEPS, s.nr);
	EXPECT_EQ(1, syn.runs);
}

TEST(pass_what_fails_once_stays_as_it_is)
{
	struct synthetic syn = { .need = 5, .once = true };
	struct shrink s = list(&syn, room, 10000);

	ASSERT_TRUE(shrink(&s));
	EXPECT_EQ(STEPS, s.nr);
}

TEST(pass_printed_program_is_between_the_lines)
{
	char *text, *begin, *end;
	size_t len;
	FILE *f = open_memstream(&text, &len);

	ASSERT_NE(NULL, f);
	shrink_print(f, "why", "\tint declared;\n", "\tstatement();\n");
	fclose(f);
	begin = strstr(text, "begins\n// SPDX");
	ASSERT_NE(NULL, begin);
	end = strstr(begin, "TEST_HARNESS_MAIN\n----");
	ASSERT_NE(NULL, end);
	EXPECT_NE(NULL, strstr(begin, "{\n\tint declared;\n\n\tstatement();\n}"));
	free(text);
}

TEST_HARNESS_MAIN
