/* A line of a filter list: what comes back is whole and points into the line. */
#include <assert.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include "filter/rule.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void inside(struct span part, struct span line)
{
    // The values of some options are words of ours ("noopmp4-1s").
    if (part.at && part.at >= line.at && part.at <= line.at + line.size)
        assert(part.size <= line.size - (size_t)(part.at - line.at));
}

static void walk_names(struct span list)
{
    struct span name;
    bool is_negated;
    size_t seen = 0;

    while (rule_next_name(&list, &name, &is_negated)) {
        assert(name.size > 0);
        seen += name.size;
        assert(seen <= RULE_LINE_LIMIT);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct span line = span_of((const char *)data, size);
    struct rule rule, again;

    rule_parse(&rule, line);
    assert(rule.reason < RULE_REASONS);
    assert((rule.kind == RULE_IDLE || rule.kind == RULE_BAD) == (rule.reason != REASON_NONE));
    assert(rule_reason_text(rule.reason) &&
           rule_reason_is_idle(rule.reason) == (rule.kind == RULE_IDLE));
    assert(rule.kind == RULE_NOTHING || rule.text.size > 0);
    assert(rule.modifier <= MODIFIER_PAGE);
    inside(rule.text, line);
    inside(rule.pattern, line);
    inside(rule.options, line);
    inside(rule.domains, line);
    inside(rule.to, line);
    inside(rule.denyallow, line);
    inside(rule.client, line);
    inside(rule.address, line);
    inside(rule.header, line);
    inside(rule.request_header, line);
    inside(rule.value, line);
    inside(rule.hosts, line);
    inside(rule.body, line);
    walk_names(rule.domains);
    walk_names(rule.to);
    walk_names(rule.denyallow);
    if (rule.kind == RULE_HOSTS) {
        struct span names = rule.pattern, name;
        bool has_name = false, has_host = false;

        while (rule_next_host(&names, &name)) {
            assert(name.size > 0);
            has_name = true;
            has_host = has_host || rule_is_host(name);
        }
        assert(has_host == has_name);
    }
    if (rule.kind == RULE_NETWORK && rule.is_host)
        assert(rule.anchor == ANCHOR_HOST && !rule.is_regex && rule.pattern.size > 0);
    // What was cut off at the ends says nothing: the trimmed line says the same.
    rule_parse(&again, rule.text);
    assert(again.kind == rule.kind && again.types == rule.types &&
           span_equal(again.pattern, rule.pattern) && again.modifier == rule.modifier);
    return 0;
}
