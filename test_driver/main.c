// SPDX-License-Identifier: GPL-2.0
/*
 * Fake accelerators on top of xmirror.ko: the module and its devices.
 *
 * A device lives from module init to module exit. An open file keeps the module
 * loaded, so that at exit no file and therefore no job is left: the nodes go
 * first, then the engines, which are idle by then. What a file that was closed still
 * has running in xmirror.ko is waited for in between.
 */

#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/module.h>
#include <linux/nodemask.h>
#include <linux/nospec.h>
#include <linux/numa.h>
#include <linux/slab.h>
#include <xmirror/version.h>
#include "dmirror.h"
#include "test_driver.h"

unsigned int xt_nr_devices = 2;
module_param_named(devices, xt_nr_devices, uint, 0444);
MODULE_PARM_DESC(devices, "number of /dev/xmirrorN nodes, 1 to 16");

unsigned int xt_nr_engines = 4;
module_param_named(engines, xt_nr_engines, uint, 0444);
MODULE_PARM_DESC(engines, "engines of each device, 1 to 16");

static unsigned int xt_devmem_mb = 256;
module_param_named(devmem_mb, xt_devmem_mb, uint, 0444);
MODULE_PARM_DESC(devmem_mb,
		 "MiB of private memory of each device, even, rounded up to a huge page, 0 for none, at most 65536");

static int xt_node = NUMA_NO_NODE;
module_param_named(node, xt_node, int, 0444);
MODULE_PARM_DESC(node, "NUMA node of the devices' memory, -1 for any");

static unsigned int xt_vram_mb = 256;
module_param_named(vram_mb, xt_vram_mb, uint, 0444);
MODULE_PARM_DESC(vram_mb,
		 "MiB of mappable memory of each device, taken when it is touched, even, 0 for none, at most 65536");

static struct xt_device *xt_devices;

/* The device of a number, NULL if there is none. */
struct xt_device *xt_device_get(unsigned int id)
{
	return id < xt_nr_devices ?
		&xt_devices[array_index_nospec(id, xt_nr_devices)] : NULL;
}

static void xt_device_stop(struct xt_device *dev, unsigned int nr_engines)
{
	while (nr_engines)
		xt_engine_stop(&dev->engines[--nr_engines]);
}

static int __init xt_device_add_memory(struct xt_device *dev)
{
	struct xt_memory *mem;

	if (!xt_devmem_mb)
		return 0;
	mem = xt_memory_create(round_up((u64)xt_devmem_mb << 20, PMD_SIZE), 0,
			       xt_node);
	/* The rest works without, and INFO tells what is missing. */
	if (mem == ERR_PTR(-EOPNOTSUPP))
		return 0;
	if (IS_ERR(mem))
		return PTR_ERR(mem);
	dev->mem = mem;
	return 0;
}

static int __init xt_device_add(struct xt_device *dev, unsigned int id)
{
	unsigned int i;
	int ret;

	dev->id = id;
	ret = xt_device_add_memory(dev);
	if (ret)
		return ret;
	ret = xt_vram_init(&dev->vram, (u64)xt_vram_mb << 20, xt_node);
	if (ret)
		goto err_memory;
	for (i = 0; i < xt_nr_engines; i++) {
		ret = xt_engine_start(&dev->engines[i], id, i);
		if (ret)
			goto err;
	}

	return 0;

err:
	xt_device_stop(dev, i);
	xt_vram_exit(&dev->vram);
err_memory:
	xt_memory_destroy(dev->mem);
	return ret;
}

static void xt_device_remove(struct xt_device *dev)
{
	xt_device_stop(dev, xt_nr_engines);
	xt_vram_exit(&dev->vram);
	xt_memory_destroy(dev->mem);
}

static int __init xt_init(void)
{
	unsigned int i, dmirrors;
	int ret;

	if (!xt_nr_devices || xt_nr_devices > XT_MAX_DEVICES) {
		pr_err("devices=%u is not in the range 1 to %u\n",
		       xt_nr_devices, XT_MAX_DEVICES);
		return -EINVAL;
	}
	if (!xt_nr_engines || xt_nr_engines > XT_MAX_ENGINES) {
		pr_err("engines=%u is not in the range 1 to %u\n",
		       xt_nr_engines, XT_MAX_ENGINES);
		return -EINVAL;
	}
	if (xt_devmem_mb % 2 || xt_devmem_mb > 65536) {
		pr_err("devmem_mb=%u is odd or more than 65536\n",
		       xt_devmem_mb);
		return -EINVAL;
	}
	if (xt_vram_mb % 2 || xt_vram_mb > 65536) {
		pr_err("vram_mb=%u is odd or more than 65536\n", xt_vram_mb);
		return -EINVAL;
	}
	if (xt_node != NUMA_NO_NODE &&
	    (xt_node < 0 || xt_node >= MAX_NUMNODES || !node_online(xt_node))) {
		pr_err("node=%d is not online\n", xt_node);
		return -EINVAL;
	}

	xt_devices = kvcalloc(xt_nr_devices, sizeof(*xt_devices), GFP_KERNEL);
	if (!xt_devices)
		return -ENOMEM;
	for (i = 0; i < xt_nr_devices; i++) {
		ret = xt_device_add(&xt_devices[i], i);
		if (ret) {
			pr_err("cannot add xmirror%u: error %d\n", i, ret);
			goto err;
		}
	}
	ret = xt_dmirror_init(xt_node, &dmirrors);
	if (ret)
		goto err;
	ret = xt_nodes_init(xt_nr_devices, dmirrors);
	if (!ret)
		return 0;

	xt_dmirror_exit();
err:
	while (i)
		xt_device_remove(&xt_devices[--i]);
	kvfree(xt_devices);
	return ret;
}

static void __exit xt_exit(void)
{
	unsigned int i;

	xt_nodes_exit();
	xt_dmirror_exit();
	xt_raw_pool_exit();
	xmirror_drain();
	for (i = 0; i < xt_nr_devices; i++)
		xt_device_remove(&xt_devices[i]);
	kvfree(xt_devices);
	xt_hold_exit();
	xt_sync_exit();
}

module_init(xt_init);
module_exit(xt_exit);

MODULE_DESCRIPTION("Fake accelerators that use xmirror, for tests");
MODULE_LICENSE("GPL");
MODULE_VERSION(XMIRROR_VERSION);
MODULE_INFO(test, "Y");
