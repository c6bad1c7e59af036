/*
 * clock.h - what time it is, as passes, tokens and reports are dated: milliseconds since 1970.
 *
 * May be set by people and step; for how long something takes there is the loop's own.
 */
#ifndef DEJUNK_BASE_CLOCK_H
#define DEJUNK_BASE_CLOCK_H

#include <stdint.h>

/* Cheap: it moves with the kernel's ticks. */
uint64_t clock_unix_ms(void);

#endif
