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
#define REGEX_WORK 4000000u // steps of a watched search, of some 10 ns each

enum regex_flag { // "i", "s", "m" behind the closing slash
    REGEX_NOCASE = 1,
    REGEX_DOT_ALL = 2,
    REGEX_MULTILINE = 4,
    REGEX_GLOBAL = 8, // "g": for replacements
    // and without letters:
    REGEX_UTF = 16,       // it is to be found in UTF-8, where a character may have many bytes,
    REGEX_UTF_LOOSE = 32, // or in what is not all of it UTF-8; each search looks at all of it first
    REGEX_WATCHED = 64,   // its searches are of long texts, see struct regex_watch
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

/* PCRE2's limits hold for each place where a match may begin; in a long text there are millions.
 * A watch counts what all of it takes, and ends it. */
struct regex_watch {
    size_t work; // left; 0: it was ended
    // regex.c only, from here
    size_t at;
    bool has_references;
};
struct pcre2_real_match_context_8;
/* Has searches with these limits keep to *watch, which outlives them; of expressions that were
 * compiled with REGEX_WATCHED. */
void regex_watch(struct pcre2_real_match_context_8 *limits, struct regex_watch *watch);
/* To be called before each search; leaves watch->work as it is. */
void regex_watch_begin(struct regex_watch *watch, const struct pcre2_real_code_8 *code,
                       size_t from);

/* Does it compile? */
bool regex_check(struct span text, unsigned flags);

/* Takes "/text/flags" apart. False when it is not of that form. Unknown flags are passed over. */
bool regex_split(struct span written, struct span *text, unsigned *flags);

#endif
