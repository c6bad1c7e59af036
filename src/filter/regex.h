/*
 * regex.h - regular expressions of filter lists, compiled at first use and kept.
 *
 * A cache belongs to one thread. Expressions have numbers given by their owner (the database);
 * the cache keeps one compiled form for each. PCRE2's just-in-time compiler is used where the
 * system allows it, else its interpreter; both with limits on steps and memory, past which an
 * expression does not match. Written for JavaScript's dialect as far as lists use it.
 */
#ifndef DEJUNK_FILTER_REGEX_H
#define DEJUNK_FILTER_REGEX_H

#include "base/bytes.h"

#define REGEX_LIMIT 16384u       // bytes of an expression
#define REGEX_STEP_LIMIT 200000u // PCRE2's match limit
#define REGEX_HEAP_LIMIT_KB 4096u

enum regex_flag { // "i", "s", "m" behind the closing slash
    REGEX_NOCASE = 1,
    REGEX_DOT_ALL = 2,
    REGEX_MULTILINE = 4,
    REGEX_GLOBAL = 8, // "g": for replacements
    REGEX_UTF = 16,   // no letter: it is to be found in text, where a character may have many bytes
};

struct regex_cache; // opaque

/* For expressions numbered 0 to count - 1. */
struct regex_cache *regex_cache_new(size_t count);
void regex_cache_free(struct regex_cache **cache);

/* Is `number`, whose text is `text`, found anywhere in `subject`? Compiles it if need be; what
 * does not compile is never found. */
bool regex_find(struct regex_cache *cache, size_t number, struct span text, unsigned flags,
                struct span subject);

/* A pcre2_code in the dialect of the lists, for those who need more than "found"; NULL: it does not
 * compile, or is too long. */
struct pcre2_real_code_8 *regex_compile(struct span text, unsigned flags);

/* Does it compile? */
bool regex_check(struct span text, unsigned flags);

/* Takes "/text/flags" apart. False when it is not of that form. Unknown flags are passed over. */
bool regex_split(struct span written, struct span *text, unsigned *flags);

#endif
