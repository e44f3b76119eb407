// SPDX-License-Identifier: GPL-2.0
/*
 * Where one would want to hold a task of a race with device memory, and what is
 * nearest to that where this kernel has no such function to trace: the compiler has
 * inlined it, or it must not be traced. Which of them are there depends on the
 * kernel's compiler and configuration, so that only the kernel can tell.
 */
#include "kselftest.h"
#include "windows.h"

/**
 * struct wish - a function that one would want to hold a task at
 * @name: its name
 * @nearest: what comes next to it, the nearest first: callers, and what it calls
 */
struct wish {
	const char *name;
	const char *nearest[4];
};

static const struct wish wishes[] = {
	/* Locks */
	{ "folio_trylock", { "folio_unlock", "__folio_lock" } },
	{ "folio_lock", { "__folio_lock" } },
	{ "pte_offset_map_lock", { "__pte_offset_map_lock",
				   "__pte_offset_map", "___pte_offset_map" } },
	{ "mmap_write_lock", { "dup_mmap", "__vm_munmap" } },
	{ "mmap_read_lock", { "lock_mm_and_find_vma", "find_vma" } },
	{ "vma_start_write", { "__vma_start_write" } },
	{ "vma_start_read", { "lock_vma_under_rcu" } },
	{ "anon_vma_lock_read", { "folio_lock_anon_vma_read",
				  "rmap_walk_anon" } },
	/* Notifiers */
	{ "mmu_notifier_invalidate_range_start",
	  { "__mmu_notifier_invalidate_range_start" } },
	{ "mn_itree_invalidate", { "__mmu_notifier_invalidate_range_start" } },
	{ "mmu_interval_read_begin", { "hmm_range_fault" } },
	{ "mmu_interval_read_retry", { "mmu_interval_read_begin",
				       "hmm_range_fault" } },
	/* Entries */
	{ "set_pte_at", { "__pte_offset_map_lock", "pte_offset_map_lock",
			  "vm_normal_page" } },
	{ "ptep_get_and_clear", { "ptep_clear_flush", "vm_normal_page" } },
	{ "zap_pte_range", { "__zap_vma_range", "zap_page_range_single",
			     "unmap_vmas", "vm_normal_page" } },
	{ "zap_nonpresent_ptes", { "free_swap_and_cache_nr",
				   "swap_put_entries_direct",
				   "unmap_vmas" } },
	{ "change_pte_range", { "change_protection", "uffd_wp_range" } },
	{ "copy_pte_range", { "copy_page_range" } },
	{ "copy_present_ptes", { "copy_page_range" } },
	{ "copy_nonpresent_pte", { "copy_page_range" } },
	{ "handle_pte_fault", { "__handle_mm_fault", "handle_mm_fault" } },
	{ "do_swap_page", { "__handle_mm_fault", "handle_mm_fault" } },
	{ "do_wp_page", { "__handle_mm_fault", "handle_mm_fault" } },
	{ "wp_page_copy", { "do_wp_page", "handle_mm_fault" } },
	/* Exclusive entries */
	{ "remove_device_exclusive_entry", { "do_swap_page",
					     "restore_exclusive_pte" } },
	{ "restore_exclusive_pte", { "do_swap_page", "copy_page_range" } },
	{ "try_restore_exclusive_pte", { "restore_exclusive_pte",
					 "copy_page_range" } },
	/* Migration and reclaim */
	{ "migrate_vma_collect_pmd", { "walk_page_range_mm", "walk_page_range",
				       "migrate_vma_setup" } },
	{ "migrate_device_unmap", { "try_to_migrate", "migrate_vma_setup" } },
	{ "migrate_vma_insert_page", { "folio_add_new_anon_rmap",
				       "migrate_vma_pages" } },
	{ "remove_migration_pte", { "remove_migration_ptes" } },
	{ "try_to_migrate_one", { "page_vma_mapped_walk", "try_to_migrate" } },
	{ "try_to_unmap_one", { "page_vma_mapped_walk", "try_to_unmap" } },
	{ "shrink_folio_list", { "reclaim_folio_list", "reclaim_pages" } },
	{ "pageout", { "swap_writeout", "shrink_folio_list" } },
	{ "split_huge_pmd_locked", { "__split_huge_pmd" } },
	{ "__split_unmapped_folio", { "split_huge_page_to_list_to_order",
				      "__folio_split" } },
	{ "move_pages_pte", { "move_pages", "move_pages_ptes" } },
	{ "mfill_atomic", { "mfill_atomic_copy" } },
	/* Not of mm/, and so not looked for */
	{ "flush_tlb_mm_range",
	  { "__mmu_notifier_arch_invalidate_secondary_tlbs", "tlb_finish_mmu",
	    "ptep_clear_flush" } },
	{ "dup_mmap", { "copy_page_range" } },
	{ "finish_task_switch", { "exit_mmap" } },
	{ "exit_mm", { "exit_mmap" } },
};

void wishes_print(void)
{
	const unsigned int nr = sizeof(wishes) / sizeof(*wishes);
	unsigned int i, n, can = 0;

	for (i = 0; i < nr; i++) {
		const char * const *near = wishes[i].nearest;

		if (hold_named(wishes[i].name)) {
			can++;
			continue;
		}
		for (n = 0; n < 4 && near[n] && !hold_named(near[n]); n++)
			;
		ksft_print_msg("cannot be held: %s; nearest: %s\n",
			       wishes[i].name, n < 4 && near[n] ? near[n] : "none");
	}
	ksft_print_msg("%u of %u functions that one would want can be held\n",
		       can, nr);
}
