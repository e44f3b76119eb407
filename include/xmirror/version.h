/* SPDX-License-Identifier: GPL-2.0 */
/* The version of both modules. Kbuild checks that dkms.conf has the same. */
#ifndef _XMIRROR_VERSION_H
#define _XMIRROR_VERSION_H

#define XMIRROR_VERSION	"0.2"

#endif /* _XMIRROR_VERSION_H */
