#include "proxy/page_policy.h"

#include <openssl/evp.h>

enum { POLICY_BYTES = 64 << 10, DIRECTIVES = 64 };

struct directive {
    struct span text; // trimmed, name and all
    struct span name;
    struct span sources;
};

struct policy {
    struct directive directives[DIRECTIVES];
    size_t count;
};

struct span page_policy_hash(char to[PAGE_HASH_BYTES], struct span text)
{
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned size = 0;
    int written;

    EVP_Digest(text.at ? text.at : "", text.size, digest, &size, EVP_sha256(), NULL);
    memcpy(to, "'sha256-", 8);
    written = EVP_EncodeBlock((unsigned char *)to + 8, digest, (int)size);
    to[8 + written] = '\'';
    to[9 + written] = 0;
    return span_of(to, (size_t)written + 9);
}

static bool is_space(char c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\f' || c == '\r';
}

static struct span trim(struct span text)
{
    while (text.size && is_space(text.at[0]))
        text = span_from(text, 1);
    while (text.size && is_space(text.at[text.size - 1]))
        text.size--;
    return text;
}

static bool next_word(struct span *words, struct span *word)
{
    size_t end = 0;

    *words = trim(*words);
    while (end < words->size && !is_space(words->at[end]))
        end++;
    *word = span_slice(*words, 0, end);
    *words = span_from(*words, end);
    return end > 0;
}

/* False: more than we would read. */
static bool read_policy(struct policy *policy, struct span text)
{
    policy->count = 0;
    while (text.size) {
        size_t end = span_find_byte(text, ';');
        struct directive directive = { .text = trim(span_slice(text, 0, end)) };

        text = span_from(text, end + (end < text.size));
        directive.sources = directive.text;
        if (!next_word(&directive.sources, &directive.name))
            continue;
        directive.sources = trim(directive.sources);
        if (policy->count == DIRECTIVES)
            return false;
        policy->directives[policy->count++] = directive;
    }
    return true;
}

/* The first of that name counts. */
static const struct directive *find(const struct policy *policy, const char *name)
{
    for (size_t i = 0; i < policy->count; i++)
        if (span_equal_nocase(policy->directives[i].name, span_text(name)))
            return &policy->directives[i];
    return NULL;
}

static const struct directive *governing(const struct policy *policy, const char *const *names)
{
    const struct directive *found = NULL;

    for (; *names && !found; names++)
        found = find(policy, *names);
    return found;
}

static bool lists(struct span sources, struct span wanted)
{
    struct span word;

    while (next_word(&sources, &word))
        if (span_equal_nocase(word, wanted))
            return true;
    return false;
}

/* Would a text of ours between the tags be let in as things are? */
static bool allows_inline(const struct directive *directive)
{
    struct span left = directive->sources, word;
    bool allows = false;

    while (next_word(&left, &word)) {
        if (span_equal_nocase(word, SPAN("'unsafe-inline'")))
            allows = true;
        else if (span_starts_nocase(word, SPAN("'nonce-")) ||
                 span_starts_nocase(word, SPAN("'sha256-")) ||
                 span_starts_nocase(word, SPAN("'sha384-")) ||
                 span_starts_nocase(word, SPAN("'sha512-")) ||
                 span_equal_nocase(word, SPAN("'strict-dynamic'")))
            return false;
    }
    return allows;
}

static bool allows_connection(const struct directive *directive)
{
    return lists(directive->sources, SPAN("'self'")) || lists(directive->sources, SPAN("*"));
}

struct change {
    const struct directive *style, *script; // get a hash each; may be the same
    const struct directive *connect;        // gets the URL; default-src is copied for it
};

static bool plan(const struct policy *policy, const struct page_policy *needs,
                 struct change *change)
{
    static const char *const styles[] = { "style-src-elem", "style-src", "default-src", NULL };
    static const char *const scripts[] = { "script-src-elem", "script-src", "default-src", NULL };
    static const char *const connects[] = { "connect-src", "default-src", NULL };

    *change = (struct change){ 0 };
    if (needs->style.at)
        change->style = governing(policy, styles);
    if (change->style &&
        (allows_inline(change->style) || lists(change->style->sources, needs->style)))
        change->style = NULL;
    if (needs->script.at)
        change->script = governing(policy, scripts);
    if (change->script &&
        (allows_inline(change->script) || lists(change->script->sources, needs->script)))
        change->script = NULL;
    if (needs->connect.at)
        change->connect = governing(policy, connects);
    if (change->connect &&
        (allows_connection(change->connect) || lists(change->connect->sources, needs->connect)))
        change->connect = NULL;
    return change->style || change->script || change->connect;
}

/* Sources without 'none', which stands alone or for nothing. */
static bool put_sources(struct buffer *to, struct span sources)
{
    struct span word;
    bool fits = true;

    while (fits && next_word(&sources, &word))
        if (!span_equal_nocase(word, SPAN("'none'")))
            fits = buffer_append(to, SPAN(" ")) && buffer_append(to, word);
    return fits;
}

static bool put_word(struct buffer *to, struct span word)
{
    return buffer_append(to, SPAN(" ")) && buffer_append(to, word);
}

static bool put_policy(struct buffer *to, const struct policy *policy,
                       const struct page_policy *needs, const struct change *change)
{
    bool fits = true;

    for (size_t i = 0; i < policy->count && fits; i++) {
        const struct directive *directive = &policy->directives[i];
        bool is_connect =
            directive == change->connect && span_equal_nocase(directive->name, SPAN("connect-src"));

        fits = i == 0 || buffer_append(to, SPAN("; "));
        if (directive != change->style && directive != change->script && !is_connect) {
            fits = fits && buffer_append(to, directive->text);
            continue;
        }
        fits = fits && buffer_append(to, directive->name) && put_sources(to, directive->sources);
        if (directive == change->style)
            fits = fits && put_word(to, needs->style);
        if (directive == change->script)
            fits = fits && put_word(to, needs->script);
        if (is_connect)
            fits = fits && put_word(to, needs->connect);
    }
    if (change->connect && !span_equal_nocase(change->connect->name, SPAN("connect-src")))
        fits = fits && buffer_append(to, SPAN("; connect-src")) &&
               put_sources(to, change->connect->sources) && put_word(to, needs->connect);
    return fits;
}

bool page_policy_change(struct buffer *to, struct span policy, const struct page_policy *needs)
{
    size_t before = to->size;
    bool changed = false, fits = policy.size <= POLICY_BYTES, is_first = true;

    while (policy.size && fits) {
        size_t end = span_find_byte(policy, ',');
        struct span one = trim(span_slice(policy, 0, end));
        struct policy read;
        struct change change;

        policy = span_from(policy, end + (end < policy.size));
        if (one.size == 0)
            continue;
        fits = read_policy(&read, one) && (is_first || buffer_append(to, SPAN(", ")));
        is_first = false;
        if (fits && plan(&read, needs, &change)) {
            changed = true;
            fits = put_policy(to, &read, needs, &change);
        } else {
            fits = fits && buffer_append(to, one);
        }
    }
    if (!changed || !fits)
        to->size = before;
    return changed && fits;
}

bool page_policy_runs_scripts(struct span policy)
{
    while (policy.size) {
        size_t end = span_find_byte(policy, ',');
        const struct directive *sandbox;
        struct policy read;

        if (!read_policy(&read, span_slice(policy, 0, end)))
            return false;
        sandbox = find(&read, "sandbox");
        if (sandbox && !lists(sandbox->sources, SPAN("allow-scripts")))
            return false;
        policy = span_from(policy, end + (end < policy.size));
    }
    return true;
}

static bool is_enforced(const struct field *field)
{
    return span_equal_nocase(field->name, SPAN("Content-Security-Policy"));
}

static bool is_policy(const struct field *field)
{
    return is_enforced(field) ||
           span_equal_nocase(field->name, SPAN("Content-Security-Policy-Report-Only"));
}

void page_policy_amend(struct message *response, const struct page_policy *needs)
{
    for (size_t i = 0; i < response->field_count; i++) {
        struct field *field = &response->fields[i];
        struct buffer changed = { .limit_bytes = 2 * POLICY_BYTES };

        if (!field->is_dropped && is_policy(field) &&
            page_policy_change(&changed, field->value, needs)) {
            struct span kept = arena_copy(response->arena, buffer_span(&changed));
            if (kept.at)
                field->value = kept;
        }
        buffer_release(&changed);
    }
}

bool page_policy_allows_scripts(const struct message *response)
{
    for (size_t i = 0; i < response->field_count; i++) {
        const struct field *field = &response->fields[i];
        if (!field->is_dropped && is_enforced(field) && !page_policy_runs_scripts(field->value))
            return false;
    }
    return true;
}
