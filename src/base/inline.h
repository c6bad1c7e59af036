/*
 * inline.h - functions that must become part of their callers, whatever these are compiled for.
 *
 * What every request goes through is compiled twice, for any machine and for those with wider
 * vectors (target attributes); one function can serve both only when it is inlined in both.
 */
#ifndef DEJUNK_BASE_INLINE_H
#define DEJUNK_BASE_INLINE_H

#define ALWAYS_INLINE static inline __attribute__((always_inline))

#endif
