/* output.h - what comes out of a page, gathered. */
#ifndef DEJUNK_TESTS_OUTPUT_H
#define DEJUNK_TESTS_OUTPUT_H

#include "base/bytes.h"

static struct buffer output;

/* As on_output() of those who edit pages. */
static inline void output_add(void *owner, struct span bytes)
{
    (void)owner;
    assert_true(buffer_append(&output, bytes));
}

static inline void output_begin(void)
{
    output.size = 0;
    output.limit_bytes = 1 << 20;
}

static inline void output_is(struct span want, const char *name, unsigned cut)
{
    if (!span_equal(buffer_span(&output), want))
        fail_msg("%s, cut %u: %.*s", name, cut, SPAN_PRINT(buffer_span(&output)));
}

/* Of a group of tests, at its end. */
static inline int output_release(void **state)
{
    (void)state;
    buffer_release(&output);
    return 0;
}

#endif
