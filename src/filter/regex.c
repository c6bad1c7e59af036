#define PCRE2_CODE_UNIT_WIDTH 8
#include "filter/regex.h"

#include <assert.h>
#include <pcre2.h>
#include <stdlib.h>

struct slot {
    pcre2_code *code;
    uint32_t least; // bytes that it needs
    bool is_bad, has_jit;
};

struct regex_cache {
    size_t count;
    pcre2_match_data *match;
    pcre2_match_context *limits;
    struct regex_watch watch;
    struct slot slots[];
};

struct regex_cache *regex_cache_new(size_t count)
{
    struct regex_cache *cache = calloc(1, sizeof *cache + count * sizeof cache->slots[0]);

    if (!cache)
        abort();
    cache->count = count;
    return cache;
}

void regex_cache_free(struct regex_cache **cache)
{
    if (!*cache)
        return;
    for (size_t i = 0; i < (*cache)->count; i++)
        pcre2_code_free((*cache)->slots[i].code);
    pcre2_match_data_free((*cache)->match);
    pcre2_match_context_free((*cache)->limits);
    free(*cache);
    *cache = NULL;
}

struct pcre2_real_code_8 *regex_compile(struct span text, unsigned flags)
{
    uint32_t options = PCRE2_ALT_BSUX | PCRE2_ALLOW_EMPTY_CLASS | PCRE2_DOLLAR_ENDONLY |
                       PCRE2_MATCH_UNSET_BACKREF | PCRE2_NEVER_BACKSLASH_C;
    size_t where;
    int code;

    if (text.size == 0 || text.size > REGEX_LIMIT)
        return NULL;
    options |= flags & REGEX_UTF         ? PCRE2_UTF
               : flags & REGEX_UTF_LOOSE ? PCRE2_UTF | PCRE2_MATCH_INVALID_UTF
                                         : PCRE2_NEVER_UTF;
    if (flags & REGEX_WATCHED)
        options |= PCRE2_AUTO_CALLOUT;
    if (flags & REGEX_NOCASE)
        options |= PCRE2_CASELESS;
    if (flags & REGEX_DOT_ALL)
        options |= PCRE2_DOTALL;
    if (flags & REGEX_MULTILINE)
        options |= PCRE2_MULTILINE;
    return pcre2_compile((PCRE2_SPTR)text.at, text.size, options, &code, &where, NULL);
}

/* ---- watching ---- */

enum {
    PASSED_BYTES = 8, // that a run of one item passes over in a step
};

/* The longest group so far: as much as a reference to it may have to compare. */
static size_t longest_group(const pcre2_callout_block *block)
{
    size_t longest = 0;

    for (uint32_t i = 1; i < block->capture_top; i++) {
        size_t from = block->offset_vector[2 * i], to = block->offset_vector[2 * i + 1];
        if (from != PCRE2_UNSET && to > from && to - from > longest)
            longest = to - from;
    }
    return longest;
}

/* Called in front of each item of an expression that is tried at a place. */
static int on_item(pcre2_callout_block *block, void *owner)
{
    struct regex_watch *watch = owner;
    size_t at = block->current_position, cost = 1;

    if (at > watch->at)
        cost += (at - watch->at) / PASSED_BYTES;
    watch->at = at;
    if (watch->has_references)
        cost += longest_group(block) / PASSED_BYTES;
    watch->work = watch->work > cost ? watch->work - cost : 0;
    return watch->work ? 0 : PCRE2_ERROR_CALLOUT;
}

void regex_watch(pcre2_match_context *limits, struct regex_watch *watch)
{
    pcre2_set_callout(limits, on_item, watch);
}

void regex_watch_begin(struct regex_watch *watch, const pcre2_code *code, size_t from)
{
    uint32_t references = 0;

    pcre2_pattern_info(code, PCRE2_INFO_BACKREFMAX, &references);
    watch->has_references = references > 0;
    watch->at = from;
}

/* ---- the cache ---- */

static void prepare(struct regex_cache *cache)
{
    if (cache->match)
        return;
    cache->match = pcre2_match_data_create(1, NULL);
    cache->limits = pcre2_match_context_create(NULL);
    if (!cache->match || !cache->limits)
        abort();
    pcre2_set_match_limit(cache->limits, REGEX_STEP_LIMIT);
    pcre2_set_depth_limit(cache->limits, REGEX_STEP_LIMIT);
    pcre2_set_heap_limit(cache->limits, REGEX_HEAP_LIMIT_KB);
    regex_watch(cache->limits, &cache->watch);
}

/* False: it does not compile. */
static __attribute__((noinline)) bool make(struct regex_cache *cache, struct slot *slot,
                                           struct span text, unsigned flags)
{
    if (slot->is_bad)
        return false;
    prepare(cache);
    slot->code = regex_compile(text, flags);
    slot->is_bad = !slot->code;
    if (slot->is_bad)
        return false;
    pcre2_pattern_info(slot->code, PCRE2_INFO_MINLENGTH, &slot->least);
    // Where it fails (no memory may be executed): the interpreter.
    slot->has_jit = pcre2_jit_compile(slot->code, PCRE2_JIT_COMPLETE) == 0;
    return true;
}

bool regex_find(struct regex_cache *cache, size_t number, struct span text, unsigned flags,
                struct span subject)
{
    struct slot *slot;

    assert(number < cache->count);
    slot = &cache->slots[number];
    if ((!slot->code && !make(cache, slot, text, flags)) || subject.size < slot->least)
        return false;
    if (flags & REGEX_WATCHED) {
        cache->watch.work = REGEX_WORK;
        regex_watch_begin(&cache->watch, slot->code, 0);
    }
    return (slot->has_jit ? pcre2_jit_match : pcre2_match)(slot->code, (PCRE2_SPTR)subject.at,
                                                           subject.size, 0, 0, cache->match,
                                                           cache->limits) >= 0;
}

bool regex_check(struct span text, unsigned flags)
{
    pcre2_code *code = regex_compile(text, flags);
    bool is_good = code != NULL;

    pcre2_code_free(code);
    return is_good;
}

bool regex_split(struct span written, struct span *text, unsigned *flags)
{
    size_t end = written.size;

    if (written.size < 3 || written.at[0] != '/')
        return false;
    while (end > 1 && written.at[end - 1] != '/')
        end--;
    if (end < 3)
        return false;
    *text = span_slice(written, 1, end - 2);
    *flags = 0;
    for (; end < written.size; end++) {
        char c = written.at[end];
        *flags |= c == 'i'   ? REGEX_NOCASE
                  : c == 's' ? REGEX_DOT_ALL
                  : c == 'm' ? REGEX_MULTILINE
                  : c == 'g' ? REGEX_GLOBAL
                             : 0;
    }
    return true;
}
