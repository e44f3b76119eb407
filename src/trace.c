// SPDX-License-Identifier: GPL-2.0
/* Bodies of the trace events. */

#include <linux/mm.h>
#include "mirror.h"

#define CREATE_TRACE_POINTS
#include "trace.h"
