#include "proxy/passes.h"

#include <stdlib.h>

#include "base/table.h"

struct pass {
    struct table_node node; // first
    struct span host;       // in text; empty: every host
    struct address client;
    bool is_for_all;
    uint64_t until_ms;
    char text[];
};

struct passes {
    struct table by_host;
};

struct passes *passes_new(void)
{
    struct passes *passes = calloc(1, sizeof *passes);

    if (!passes)
        abort(); // out of memory ends the worker; the master starts another
    table_init(&passes->by_host);
    return passes;
}

static void drop(struct table_node *node, void *owner)
{
    struct passes *passes = owner;

    table_remove(&passes->by_host, node);
    free(node);
}

void passes_free(struct passes **passes)
{
    if (!*passes)
        return;
    table_visit(&(*passes)->by_host, drop, *passes);
    table_done(&(*passes)->by_host);
    free(*passes);
    *passes = NULL;
}

static struct address bare(const struct address *address)
{
    struct address bare = address_unwrap(address);

    address_set_port(&bare, 0);
    return bare;
}

static void add(struct passes *passes, const struct proxy_pass *from)
{
    struct address client = { .any.sa_family = AF_UNSPEC };
    struct pass *pass;

    if (from->client.size > 0) {
        if (!address_parse(&client, from->client, 0))
            return;
        client = bare(&client);
    }
    pass = calloc(1, sizeof *pass + from->host.size);
    if (!pass)
        abort(); // out of memory ends the worker; the master starts another
    for (size_t i = 0; i < from->host.size; i++)
        pass->text[i] = ascii_lower(from->host.at[i]);
    pass->host = span_of(pass->text, from->host.size);
    pass->client = client;
    pass->is_for_all = from->client.size == 0;
    pass->until_ms = from->until_ms;
    table_add(&passes->by_host, &pass->node, table_hash(&passes->by_host, pass->host));
}

void passes_set(struct passes *passes, const struct proxy_passes *from)
{
    table_visit(&passes->by_host, drop, passes);
    for (size_t i = 0; i < from->count && i < PROXY_PASSES; i++)
        add(passes, &from->items[i]);
}

bool passes_are_empty(const struct passes *passes)
{
    return passes->by_host.count == 0;
}

struct question {
    struct span host;
    struct address client;
    uint64_t now_ms;
};

static bool is_good(const struct table_node *node, const void *key)
{
    const struct pass *pass = (const struct pass *)node;
    const struct question *question = key;

    return question->now_ms < pass->until_ms && span_equal(pass->host, question->host) &&
           (pass->is_for_all || address_equal(&pass->client, &question->client));
}

static bool has(const struct passes *passes, const struct question *question)
{
    uint64_t hash = table_hash(&passes->by_host, question->host);

    return table_find(&passes->by_host, hash, is_good, question) != NULL;
}

bool passes_allow(const struct passes *passes, struct span host, const struct address *client,
                  uint64_t now_ms)
{
    struct question question = { .host = host, .now_ms = now_ms };

    if (passes_are_empty(passes))
        return false;
    question.client = bare(client);
    while (question.host.size > 0) {
        size_t dot = span_find_byte(question.host, '.');

        if (has(passes, &question))
            return true;
        if (dot == question.host.size)
            break;
        question.host = span_from(question.host, dot + 1);
    }
    question.host = SPAN(""); // a pause
    return has(passes, &question);
}
