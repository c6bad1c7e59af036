#include "io/resolve.h"

#include <assert.h>
#include <stdlib.h>

#include "io/dns.h"

enum { IPV6, IPV4, FAMILIES }; // in the order of an answer

/* An entry of the cache is on the list of what may be dropped while nobody waits for it and it
 * asks for nothing. */
struct resolve_entry {
    struct table_node node;              // first
    struct resolve_entry *older, *newer; // in the list; both NULL: not in it
    struct resolve_answer *answer;       // our reference; NULL: a failure, or nothing yet
    enum dns_outcome failure;            // good with no answer, until it expires
    uint64_t expires_ms;                 // 0: always expired
    struct inquiry *inquiry;             // NULL: asks for nothing
    struct resolve_query *waiting, **last_waiting;
    struct resolve_entry *next_due; // what is known now is to be told to the waiting
    bool is_due;
    uint8_t size;
    char name[]; // folded, and NUL; with a dot at the end when it was given with one
};

/* The asking for one name. */
struct inquiry {
    struct resolver *resolver;
    struct resolve_entry *entry;
    struct side { // of one family
        struct dns_question question;
        struct inquiry *inquiry;
        struct dns_reply reply;
    } sides[FAMILIES];
    unsigned open;    // sides without a reply
    size_t candidate; // search domain under way; domain_count: the name itself
    bool had_failure; // of a server, for a candidate before this
    bool had_no_data;
    struct loop_timer patience;
    char name[RESOLVE_NAME_BYTES + 1]; // asked for
};

struct resolver {
    struct loop *loop;
    struct dns *dns;
    struct hosts hosts;
    struct resolve_conf conf;
    struct table entries;
    struct resolve_entry *oldest, *newest; // what may be dropped
    struct resolve_entry *due, **last_due;
    struct resolve_query *telling;
    struct loop_task tell;
    struct resolve_answer *localhost;
    struct resolve_entry *overflow, *nonsense; // failures outside the cache
    struct resolver_counts counts;
};

/* answers */

struct kept_answer {
    struct resolve_answer answer; // first
    struct loop_grave grave;
};

static struct resolve_answer *make_answer(const struct address *const addresses[FAMILIES],
                                          const size_t counts[FAMILIES],
                                          const char (*aliases)[RESOLVE_NAME_BYTES + 1],
                                          size_t alias_count)
{
    size_t count = counts[IPV6] + counts[IPV4], text_bytes = 0;
    struct kept_answer *kept;
    struct resolve_answer *answer;
    char *text;

    for (size_t i = 0; i < alias_count; i++)
        text_bytes += strlen(aliases[i]) + 1;
    kept = calloc(1, sizeof *kept + count * sizeof *answer->addresses +
                         alias_count * sizeof *answer->aliases + text_bytes);
    if (!kept)
        abort();
    answer = &kept->answer;
    answer->references = 1;
    answer->aliases = (struct span *)(kept + 1);
    answer->addresses = (struct address *)(answer->aliases + alias_count);
    text = (char *)(answer->addresses + count);
    for (unsigned family = 0; family < FAMILIES; family++)
        for (size_t i = 0; i < counts[family]; i++)
            answer->addresses[answer->count++] = addresses[family][i];
    for (size_t i = 0; i < alias_count; i++) {
        size_t size = strlen(aliases[i]);
        memcpy(text, aliases[i], size);
        answer->aliases[answer->alias_count++] = span_of(text, size);
        text += size + 1;
    }
    return answer;
}

void resolve_answer_ref(struct resolve_answer *answer)
{
    answer->references++;
}

void resolve_answer_unref(struct resolve_answer *answer)
{
    if (answer && --answer->references == 0)
        free(answer);
}

static void dig_answer(struct loop_grave *grave)
{
    resolve_answer_unref(
        (struct resolve_answer *)((char *)grave - offsetof(struct kept_answer, grave)));
}

/* Gives our reference up when the loop goes on: somebody may hold a borrowed one until then. */
static void retire_answer(struct resolver *resolver, struct resolve_answer **answer)
{
    if (*answer)
        loop_bury(resolver->loop, &((struct kept_answer *)*answer)->grave, dig_answer);
    *answer = NULL;
}

static struct resolve_answer *make_localhost(void)
{
    static const struct address loopbacks[FAMILIES] = {
        [IPV6] = { .v6 = { .sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT } },
        [IPV4] = { .v4 = { .sin_family = AF_INET } },
    };
    struct address v4 = loopbacks[IPV4];
    const struct address *const addresses[FAMILIES] = { &loopbacks[IPV6], &v4 };
    static const size_t counts[FAMILIES] = { 1, 1 };

    v4.v4.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    return make_answer(addresses, counts, NULL, 0);
}

/* the cache */

static struct span entry_name(const struct resolve_entry *entry)
{
    return span_of(entry->name, entry->size);
}

static bool has_name(const struct table_node *node, const void *key)
{
    return span_equal(entry_name((const struct resolve_entry *)node), *(const struct span *)key);
}

static bool is_listed(const struct resolver *resolver, const struct resolve_entry *entry)
{
    return entry->older || resolver->oldest == entry;
}

static void unlist(struct resolver *resolver, struct resolve_entry *entry)
{
    if (!is_listed(resolver, entry))
        return;
    if (entry->older)
        entry->older->newer = entry->newer;
    else
        resolver->oldest = entry->newer;
    if (entry->newer)
        entry->newer->older = entry->older;
    else
        resolver->newest = entry->older;
    entry->older = entry->newer = NULL;
}

/* Called after whatever may change whether the entry is needed: the most recently used one that
 * is not, or off the list. */
static void settle(struct resolver *resolver, struct resolve_entry *entry)
{
    unlist(resolver, entry);
    if (entry->inquiry || entry->waiting || entry->is_due)
        return;
    entry->older = resolver->newest;
    if (resolver->newest)
        resolver->newest->newer = entry;
    else
        resolver->oldest = entry;
    resolver->newest = entry;
}

/* Not one of the two that stand for failures outside the cache. */
static bool is_cached(const struct resolver *resolver, const struct resolve_entry *entry)
{
    return entry != resolver->overflow && entry != resolver->nonsense;
}

static struct resolve_entry *new_entry(struct span name)
{
    struct resolve_entry *entry = calloc(1, sizeof *entry + name.size + 1);

    if (!entry)
        abort();
    entry->last_waiting = &entry->waiting;
    entry->size = (uint8_t)name.size;
    memcpy(entry->name, name.at, name.size);
    return entry;
}

static void drop_entry(struct resolver *resolver, struct resolve_entry *entry)
{
    assert(!entry->inquiry && !entry->waiting && !entry->is_due);
    unlist(resolver, entry);
    table_remove(&resolver->entries, &entry->node);
    retire_answer(resolver, &entry->answer);
    free(entry);
}

/* NULL when the cache is full of names that are being asked for. */
static struct resolve_entry *find_or_add_entry(struct resolver *resolver, struct span name)
{
    uint64_t hash = table_hash(&resolver->entries, name);
    struct resolve_entry *entry =
        (struct resolve_entry *)table_find(&resolver->entries, hash, has_name, &name);

    if (entry)
        return entry;
    if (resolver->entries.count >= RESOLVE_CACHE_NAMES) {
        if (!resolver->oldest)
            return NULL;
        drop_entry(resolver, resolver->oldest);
    }
    entry = new_entry(name);
    table_add(&resolver->entries, &entry->node, hash);
    settle(resolver, entry);
    return entry;
}

static uint64_t in_seconds(const struct resolver *resolver, uint64_t seconds)
{
    return loop_now_ms(resolver->loop) + seconds * 1000;
}

/* telling */

static void set_failure(struct error *error, const struct resolve_entry *entry)
{
    static const struct {
        enum error_kind kind;
        const char *text;
    } failures[] = {
        [DNS_NO_DATA] = { ERROR_NO_HOST, "%s has no address" },
        [DNS_NO_NAME] = { ERROR_NO_HOST, "there is no host %s" },
        [DNS_FAILED] = { ERROR_NO_HOST, "the name servers cannot tell the address of %s" },
        [DNS_SILENT] = { ERROR_TIMEOUT, "the name servers did not answer when asked for %s" },
    };

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
    error_set(error, failures[entry->failure].kind, failures[entry->failure].text, entry->name);
#pragma GCC diagnostic pop
}

static void unlink_query(struct resolve_query *query)
{
    struct resolve_entry *entry = query->entry;

    assert(query->link);
    *query->link = query->next;
    if (query->next)
        query->next->link = query->link;
    else if (entry->last_waiting == &query->next)
        entry->last_waiting = query->link;
    query->next = NULL;
    query->link = NULL;
    query->entry = NULL;
}

static void make_due(struct resolver *resolver, struct resolve_entry *entry)
{
    if (!entry->is_due) {
        entry->is_due = true;
        entry->next_due = NULL;
        *resolver->last_due = entry;
        resolver->last_due = &entry->next_due;
        loop_later(resolver->loop, &resolver->tell);
    }
}

static void add_waiting(struct resolve_entry *entry, struct resolve_query *query)
{
    query->entry = entry;
    query->next = NULL;
    query->link = entry->last_waiting;
    *entry->last_waiting = query;
    entry->last_waiting = &query->next;
}

/* Tells those who wait for one entry. They are moved to the resolver first, because a callback may
 * ask for the same name again, or cancel any other. */
static void tell_entry(struct resolver *resolver, struct resolve_entry *entry)
{
    struct resolve_answer *answer = entry->answer;
    struct error error;

    if (!entry->waiting || (entry->inquiry && !answer)) // or asked for anew since it was due
        return;
    if (answer)
        resolve_answer_ref(answer);
    else if (entry == resolver->overflow)
        error_set(&error, ERROR_LIMIT, "more than %d names are being looked up",
                  RESOLVE_CACHE_NAMES);
    else if (entry == resolver->nonsense)
        error_set(&error, ERROR_NO_HOST, "that is no host name");
    else
        set_failure(&error, entry);

    resolver->telling = entry->waiting;
    resolver->telling->link = &resolver->telling;
    entry->waiting = NULL;
    entry->last_waiting = &entry->waiting;
    while (resolver->telling) {
        struct resolve_query *query = resolver->telling;

        unlink_query(query);
        if (!answer)
            resolver->counts.failures++;
        query->on_resolved(query->owner, answer, answer ? NULL : &error);
    }
    resolve_answer_unref(answer);
}

static void tell(void *owner)
{
    struct resolver *resolver = owner;
    struct resolve_entry *entry = resolver->due, *next;

    resolver->due = NULL; // what becomes due from here on has its own turn
    resolver->last_due = &resolver->due;
    for (; entry; entry = next) {
        next = entry->next_due;
        entry->next_due = NULL;
        tell_entry(resolver, entry); // stays due meanwhile, so that nobody drops it
        entry->is_due = false;
        if (entry->waiting && !entry->inquiry)
            make_due(resolver, entry); // asked for again in a callback
        if (is_cached(resolver, entry))
            settle(resolver, entry);
    }
}

/* asking */

static void ask_candidate(struct inquiry *inquiry);

static void end_inquiry(struct inquiry *inquiry)
{
    struct resolver *resolver = inquiry->resolver;
    struct resolve_entry *entry = inquiry->entry;

    for (unsigned family = 0; family < FAMILIES; family++)
        dns_forget(&inquiry->sides[family].question);
    loop_timer_stop(&inquiry->patience);
    entry->inquiry = NULL;
    free(inquiry);
    settle(resolver, entry);
}

/* What is there becomes the entry's answer. */
static void publish(struct inquiry *inquiry)
{
    struct resolver *resolver = inquiry->resolver;
    struct resolve_entry *entry = inquiry->entry;
    const struct dns_reply *v6 = &inquiry->sides[IPV6].reply, *v4 = &inquiry->sides[IPV4].reply;
    const struct dns_reply *longer = v6->alias_count > v4->alias_count ? v6 : v4;
    const struct address *const addresses[FAMILIES] = { v6->addresses, v4->addresses };
    const size_t counts[FAMILIES] = { v6->count, v4->count };
    uint64_t ttl_s = RESOLVE_TTL_MOST_S;

    for (unsigned family = 0; family < FAMILIES; family++) {
        const struct dns_reply *reply = &inquiry->sides[family].reply;
        uint64_t limit_s = reply->outcome == DNS_FOUND   ? reply->ttl_s
                           : reply->outcome < DNS_FAILED ? RESOLVE_TTL_MOST_S
                                                         : RESOLVE_HALF_S;
        if (limit_s < ttl_s)
            ttl_s = limit_s;
    }
    if (ttl_s < RESOLVE_TTL_LEAST_S)
        ttl_s = RESOLVE_TTL_LEAST_S;
    retire_answer(resolver, &entry->answer);
    entry->answer = make_answer(addresses, counts, longer->aliases, longer->alias_count);
    entry->expires_ms = in_seconds(resolver, ttl_s);
    make_due(resolver, entry);
}

static void fail(struct inquiry *inquiry, enum dns_outcome failure)
{
    struct resolver *resolver = inquiry->resolver;
    struct resolve_entry *entry = inquiry->entry;

    retire_answer(resolver, &entry->answer);
    entry->failure = failure;
    entry->expires_ms = in_seconds(resolver, RESOLVE_FAILURE_S);
    make_due(resolver, entry);
    end_inquiry(inquiry);
}

/* Both sides have their reply. */
static void conclude(struct inquiry *inquiry)
{
    const struct dns_reply *v6 = &inquiry->sides[IPV6].reply, *v4 = &inquiry->sides[IPV4].reply;
    enum dns_outcome worse = v6->outcome > v4->outcome ? v6->outcome : v4->outcome;
    bool is_last = inquiry->candidate == inquiry->resolver->conf.domain_count;

    loop_timer_stop(&inquiry->patience);
    if (v6->count + v4->count > 0) {
        publish(inquiry);
        end_inquiry(inquiry);
        return;
    }
    if (worse == DNS_SILENT) { // the next candidate would meet the same silence
        fail(inquiry, DNS_SILENT);
        return;
    }
    inquiry->had_failure |= worse == DNS_FAILED;
    inquiry->had_no_data |= v6->outcome == DNS_NO_DATA || v4->outcome == DNS_NO_DATA;
    if (is_last) {
        fail(inquiry, inquiry->had_failure   ? DNS_FAILED
                      : inquiry->had_no_data ? DNS_NO_DATA
                                             : DNS_NO_NAME);
        return;
    }
    inquiry->candidate++;
    ask_candidate(inquiry);
}

static void on_patience_over(void *owner)
{
    publish(owner);
}

static void on_answered(void *owner, const struct dns_reply *reply)
{
    struct side *side = owner;
    struct inquiry *inquiry = side->inquiry;

    side->reply = *reply;
    if (--inquiry->open == 0)
        conclude(inquiry);
    else if (reply->outcome == DNS_FOUND)
        loop_timer_set(&inquiry->patience, RESOLVE_PATIENCE_MS);
}

/* The name of the candidate under way; passes over those that would be too long. */
static void name_candidate(struct inquiry *inquiry)
{
    const struct resolve_conf *conf = &inquiry->resolver->conf;
    struct span name = entry_name(inquiry->entry);

    if (name.at[name.size - 1] == '.')
        name.size--;
    memcpy(inquiry->name, name.at, name.size);
    inquiry->name[name.size] = '\0';
    for (; inquiry->candidate < conf->domain_count; inquiry->candidate++) {
        const char *domain = conf->domains[inquiry->candidate];
        size_t size = strlen(domain);

        if (name.size + 1 + size <= RESOLVE_NAME_BYTES) {
            inquiry->name[name.size] = '.';
            memcpy(inquiry->name + name.size + 1, domain, size + 1);
            return;
        }
    }
}

/* Nothing of `inquiry` may be used after: it may have come to its end. The depth of calls through
 * conclude(), when servers cannot even be asked, is at most that of the search domains. */
static void ask_candidate(struct inquiry *inquiry)
{
    struct resolver *resolver = inquiry->resolver;

    name_candidate(inquiry);
    inquiry->open = FAMILIES;
    for (unsigned family = 0; family < FAMILIES; family++) {
        struct side *side = &inquiry->sides[family];

        side->inquiry = inquiry;
        side->question = (struct dns_question){ .on_answered = on_answered, .owner = side };
        side->reply.outcome = DNS_SILENT;
        side->reply.count = side->reply.alias_count = 0;
    }
    resolver->counts.lookups += FAMILIES;
    for (unsigned family = 0; family < FAMILIES; family++)
        dns_ask(resolver->dns, &inquiry->sides[family].question, inquiry->name, family == IPV6);
}

static bool wants_domains(const struct resolver *resolver, struct span name)
{
    unsigned dots = 0;

    for (size_t i = 0; i < name.size; i++)
        dots += name.at[i] == '.';
    return name.at[name.size - 1] != '.' && dots < resolver->conf.ndots;
}

static void begin_inquiry(struct resolver *resolver, struct resolve_entry *entry)
{
    struct inquiry *inquiry = calloc(1, sizeof *inquiry);

    if (!inquiry)
        abort();
    inquiry->resolver = resolver;
    inquiry->entry = entry;
    loop_timer_init(&inquiry->patience, resolver->loop, on_patience_over, inquiry);
    if (!wants_domains(resolver, entry_name(entry)))
        inquiry->candidate = resolver->conf.domain_count;
    retire_answer(resolver, &entry->answer);
    entry->inquiry = inquiry;
    settle(resolver, entry);
    ask_candidate(inquiry);
}

static bool is_under(struct span name, struct span domain)
{
    return span_ends(name, domain) &&
           (name.size == domain.size || name.at[name.size - domain.size - 1] == '.');
}

/* What needs no name server: names in the hosts text, and those that may not be asked for. */
static bool know_without_asking(struct resolver *resolver, struct resolve_entry *entry)
{
    struct address found[FAMILIES * RESOLVE_ADDRESSES], sorted[FAMILIES][RESOLVE_ADDRESSES];
    size_t count, counts[FAMILIES] = { 0 };
    const struct address *const addresses[FAMILIES] = { sorted[IPV6], sorted[IPV4] };
    struct span name = entry_name(entry);

    if (name.at[name.size - 1] == '.')
        name.size--;
    count = hosts_find(&resolver->hosts, name, found, sizeof found / sizeof *found);
    for (size_t i = 0; i < count; i++) {
        unsigned family = found[i].any.sa_family == AF_INET6 ? IPV6 : IPV4;
        if (counts[family] < RESOLVE_ADDRESSES)
            sorted[family][counts[family]++] = found[i];
    }
    if (count > 0) {
        retire_answer(resolver, &entry->answer);
        entry->answer = make_answer(addresses, counts, NULL, 0);
        entry->expires_ms = UINT64_MAX; // until the next text
        return true;
    }
    if (is_under(name, SPAN("invalid")) || is_under(name, SPAN("onion"))) {
        retire_answer(resolver, &entry->answer);
        entry->failure = DNS_NO_NAME;
        entry->expires_ms = UINT64_MAX;
        return true;
    }
    return false;
}

bool resolve_start(struct resolver *resolver, struct resolve_query *query, struct span name,
                   struct resolve_answer **answer)
{
    char folded[RESOLVE_NAME_BYTES + 2];
    size_t size = resolve_fold_name(folded, name);
    struct resolve_entry *entry;

    assert(!query->entry);
    if (size > 0 && is_under(span_of(folded, size), SPAN("localhost"))) {
        *answer = resolver->localhost;
        resolver->counts.cache_hits++;
        return true;
    }
    if (size > 0 && name.at[name.size - 1] == '.')
        folded[size++] = '.';
    entry = size > 0 ? find_or_add_entry(resolver, span_of(folded, size)) : resolver->nonsense;
    if (!entry)
        entry = resolver->overflow;

    if (entry->expires_ms <= loop_now_ms(resolver->loop) && !entry->inquiry &&
        !know_without_asking(resolver, entry))
        begin_inquiry(resolver, entry);
    if (entry->expires_ms > loop_now_ms(resolver->loop) && entry->answer) {
        *answer = entry->answer;
        resolver->counts.cache_hits++;
        settle(resolver, entry);
        return true;
    }
    add_waiting(entry, query);
    if (!entry->inquiry)
        make_due(resolver, entry);
    if (is_cached(resolver, entry))
        settle(resolver, entry);
    return false;
}

void resolve_cancel(struct resolve_query *query)
{
    if (query->entry)
        unlink_query(query);
}

/* life */

static struct resolve_entry *new_failure(struct span name)
{
    struct resolve_entry *entry = new_entry(name);

    entry->failure = DNS_NO_NAME;
    entry->expires_ms = UINT64_MAX;
    return entry;
}

enum error_kind resolver_new(struct resolver **out, struct loop *loop, struct error *error)
{
    struct resolver *resolver = calloc(1, sizeof *resolver);
    enum error_kind kind;

    if (!resolver)
        abort();
    resolver->loop = loop;
    resolver->conf = (struct resolve_conf){ .ndots = 1 };
    kind = dns_new(&resolver->dns, loop, &resolver->conf, error);
    if (kind != ERROR_NONE) {
        free(resolver);
        return kind;
    }
    hosts_init(&resolver->hosts, SPAN_NONE, NULL);
    table_init(&resolver->entries);
    resolver->last_due = &resolver->due;
    resolver->tell = (struct loop_task){ .run = tell, .owner = resolver };
    resolver->localhost = make_localhost();
    resolver->overflow = new_failure(SPAN("(overflow)"));
    resolver->nonsense = new_failure(SPAN("(nonsense)"));
    *out = resolver;
    return ERROR_NONE;
}

static void forget_waiting(struct resolve_entry *entry)
{
    while (entry->waiting)
        unlink_query(entry->waiting);
}

static void end_entry(struct table_node *node, void *owner)
{
    struct resolver *resolver = owner;
    struct resolve_entry *entry = (struct resolve_entry *)node;

    forget_waiting(entry);
    entry->is_due = false;
    if (entry->inquiry)
        end_inquiry(entry->inquiry);
    drop_entry(resolver, entry);
}

void resolver_free(struct resolver **resolver_pointer)
{
    struct resolver *resolver = *resolver_pointer;

    *resolver_pointer = NULL;
    if (!resolver)
        return;
    assert(!resolver->telling);
    loop_later_cancel(resolver->loop, &resolver->tell);
    table_visit(&resolver->entries, end_entry, resolver);
    forget_waiting(resolver->overflow);
    forget_waiting(resolver->nonsense);
    free(resolver->overflow);
    free(resolver->nonsense);
    retire_answer(resolver, &resolver->localhost);
    table_done(&resolver->entries);
    dns_free(&resolver->dns);
    hosts_done(&resolver->hosts);
    free(resolver);
}

/* Forgets what an entry knows, and asks again for those who wait. */
static void renew_entry(struct table_node *node, void *owner)
{
    struct resolver *resolver = owner;
    struct resolve_entry *entry = (struct resolve_entry *)node;

    if (entry->inquiry)
        end_inquiry(entry->inquiry);
    retire_answer(resolver, &entry->answer);
    entry->expires_ms = 0;
    if (!entry->waiting && !entry->is_due)
        drop_entry(resolver, entry);
}

static void ask_again(struct table_node *node, void *owner)
{
    struct resolver *resolver = owner;
    struct resolve_entry *entry = (struct resolve_entry *)node;

    if (know_without_asking(resolver, entry))
        make_due(resolver, entry);
    else
        begin_inquiry(resolver, entry);
}

/* Whoever was to be told what is now forgotten waits on. */
static void cancel_due(struct resolver *resolver)
{
    struct resolve_entry **link = &resolver->due, *entry;

    while ((entry = *link) != NULL) {
        if (!is_cached(resolver, entry)) {
            link = &entry->next_due;
            continue;
        }
        *link = entry->next_due;
        entry->next_due = NULL;
        entry->is_due = false;
        settle(resolver, entry);
    }
    resolver->last_due = link;
}

enum error_kind resolver_configure(struct resolver *resolver, struct span resolv_conf,
                                   struct span hosts_text, struct error *error)
{
    struct resolve_conf conf;
    struct hosts hosts;
    struct dns *dns;
    enum error_kind kind = resolve_conf_parse(&conf, resolv_conf, error);

    if (kind != ERROR_NONE)
        return kind;
    kind = hosts_init(&hosts, hosts_text, error);
    if (kind != ERROR_NONE)
        return kind;
    kind = dns_new(&dns, resolver->loop, &conf, error);
    if (kind != ERROR_NONE) {
        hosts_done(&hosts);
        return kind;
    }

    cancel_due(resolver);
    table_visit(&resolver->entries, renew_entry, resolver);
    dns_free(&resolver->dns);
    hosts_done(&resolver->hosts);
    resolver->dns = dns;
    resolver->hosts = hosts;
    resolver->conf = conf;
    table_visit(&resolver->entries, ask_again, resolver);
    return ERROR_NONE;
}

struct resolver_counts resolver_counts(const struct resolver *resolver)
{
    return resolver->counts;
}
