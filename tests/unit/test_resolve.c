/* Names to addresses, against name servers made here: cache, search, failures, changes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <cmocka.h>

#include <errno.h>
#include <sys/wait.h>

#include "io/resolve.h"
#include "name_server.h"

#include <seccomp.h> // after ev.h: elf.h makes a macro of one of its names

static const struct zone_row zone[] = {
    { "both.example", '4', "4:192.0.2.1/300 4:192.0.2.2/60" },
    { "both.example", '6', "6:2001:db8::1/100" },
    { "four.example", '4', "4:192.0.2.4/100000" },
    { "six.example", '6', "6:2001:db8::6/0" },
    { "second.example", '4', "4:192.0.2.9/1" },
    { "nodata.example", '4', "" },
    { "nx.example", '*', "nx" },
    { "broken.example", '*', "servfail" },
    { "refused.example", '*', "refused" },
    { "silent.example", '*', "silent" },
    { "half.example", '4', "4:192.0.2.5/600" },
    { "half.example", '6', "servfail" },
    { "slow6.example", '4', "4:192.0.2.6/600" },
    { "slow6.example", '6', "late 6:2001:db8::66/600" },
    { "slow4.example", '4', "late nx" },
    { "slow4.example", '6', "6:2001:db8::67/600" },
    { "late.example", '*', "late 4:192.0.2.7/60" },
    { "alias.example", '4', "c:One.Example/60 c:two.example/20 4:192.0.2.8/600" },
    { "alias.example", '6', "c:one.example/60 c:two.example/20" },
    { "dead-alias.example", '*', "c:nowhere.example/60 nx" },
    { "eight.example", '4',
      "c:1.example/9 c:2.example/9 c:3.example/9 c:4.example/9 c:5.example/9 c:6.example/9 "
      "c:7.example/9 c:8.example/9 4:192.0.2.10/9" },
    { "nine.example", '4',
      "c:1.example/9 c:2.example/9 c:3.example/9 c:4.example/9 c:5.example/9 c:6.example/9 "
      "c:7.example/9 c:8.example/9 c:9.example/9 4:192.0.2.10/9" },
    { "ring.example", '*', "c:ring2.example/9 c:ring.example/9" },
    { "sixteen.example", '*', "m:16/60" },
    { "seventeen.example", '*', "m:17/60" },
    { "long.example", '4', "tc m:16/60" },
    { "garbage.example", '4', "garbage 4:192.0.2.11/60" },
    { "badid.example", '4', "badid 4:192.0.2.12/60" },
    { "badname.example", '4', "badname 4:192.0.2.13/60" },
    { "badfrom.example", '4', "badfrom 4:192.0.2.18/60" },
    { "short.example", '4', "4:192.0.2.14/60 4:192.0.2.15/60 short" },
    { "nonsense.example", '*', "only-garbage" },
    { "printer", '4', "4:192.0.2.20/60" },
    { "printer.corp.example", '4', "4:192.0.2.21/60" },
    { "fax.lab.example", '4', "4:192.0.2.22/60" },
    { "scanner", '4', "4:192.0.2.23/60" },
    { "shy.corp.example", '*', "servfail" },
    { "mute.corp.example", '*', "silent" },
    { "a.b", '4', "4:192.0.2.24/60" },
    { "a.b.corp.example", '4', "4:192.0.2.25/60" },
};

static const struct zone_row other_zone[] = {
    { "silent.example", '4', "4:198.51.100.1/60" },
    { "broken.example", '4', "4:198.51.100.2/60" },
    { "both.example", '4', "4:198.51.100.3/60" },
    { "printer.other.example", '4', "4:198.51.100.4/60" },
};

static struct loop *loop;
static struct resolver *resolver;
static struct name_server server, other;
static char conf[2000];
static struct loop_timer limit;

struct asker {
    struct resolve_query query;
    char text[900]; // what came: addresses, then aliases; or the error
    unsigned answers;
    enum error_kind failed;
    void (*then)(struct asker *asker);
};
static struct asker askers[8];
static unsigned expected;

static void describe(struct asker *asker, const struct resolve_answer *answer,
                     const struct error *error)
{
    size_t used = 0;
    char text[ADDRESS_TEXT_BYTES];

    asker->answers++;
    asker->text[0] = '\0';
    if (!answer) {
        asker->failed = error->kind;
        snprintf(asker->text, sizeof asker->text, "%s", error->text);
        return;
    }
    asker->failed = ERROR_NONE;
    for (size_t i = 0; i < answer->count && used < sizeof asker->text; i++)
        used += (size_t)snprintf(asker->text + used, sizeof asker->text - used, "%s%s",
                                 used ? " " : "", address_text(&answer->addresses[i], text));
    for (size_t i = 0; i < answer->alias_count && used < sizeof asker->text; i++)
        used += (size_t)snprintf(asker->text + used, sizeof asker->text - used, " <%.*s>",
                                 SPAN_PRINT(answer->aliases[i]));
}

static void on_resolved(void *owner, struct resolve_answer *answer, const struct error *error)
{
    struct asker *asker = owner;

    assert_null(asker->query.entry);
    assert_true((answer == NULL) != (error == NULL));
    describe(asker, answer, error);
    if (expected > 0)
        expected--;
    if (asker->then)
        asker->then(asker);
    if (expected == 0)
        loop_stop(loop);
}

static void too_slow(void *owner)
{
    (void)owner;
    fail_msg("no answer within 15 s");
}

/* Runs until so many answers have come. */
static void run_for(unsigned count)
{
    expected = count;
    loop_timer_set(&limit, 15000);
    if (count > 0)
        loop_run(loop);
    loop_timer_stop(&limit);
}

/* True: at once. */
static bool ask(unsigned number, const char *name)
{
    struct asker *asker = &askers[number];
    struct resolve_answer *answer = NULL;

    asker->query.on_resolved = on_resolved;
    asker->query.owner = asker;
    asker->answers = 0;
    asker->text[0] = '\0';
    if (!resolve_start(resolver, &asker->query, span_text(name), &answer))
        return false;
    describe(asker, answer, NULL);
    return true;
}

static const char *resolve(const char *name)
{
    if (!ask(0, name))
        run_for(1);
    assert_int_equal(askers[0].answers, 1);
    return askers[0].text;
}

static void configure(const char *extra, const char *hosts)
{
    snprintf(conf, sizeof conf, "nameserver 127.0.0.1:%u\n%s", server.port, extra);
    assert_int_equal(resolver_configure(resolver, span_text(conf), span_text(hosts), NULL),
                     ERROR_NONE);
}

static int set_up(void **state)
{
    (void)state;
    memset(askers, 0, sizeof askers);
    if (loop_new(&loop, NULL) != ERROR_NONE || resolver_new(&resolver, loop, NULL) != ERROR_NONE)
        return -1;
    loop_timer_init(&limit, loop, too_slow, NULL);
    name_server_start(&server, loop, zone, sizeof zone / sizeof *zone);
    name_server_start(&other, loop, other_zone, sizeof other_zone / sizeof *other_zone);
    configure("", "");
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    resolver_free(&resolver);
    resolver_free(&resolver);
    name_server_stop(&server);
    name_server_stop(&other);
    loop_free(&loop);
    return 0;
}

static const struct {
    const char *name, *want;
} answers[] = {
    { "both.example", "2001:db8::1 192.0.2.1 192.0.2.2" },
    { "BOTH.Example", "2001:db8::1 192.0.2.1 192.0.2.2" },
    { "both.example.", "2001:db8::1 192.0.2.1 192.0.2.2" },
    { "four.example", "192.0.2.4" },
    { "six.example", "2001:db8::6" },
    { "alias.example", "192.0.2.8 <one.example> <two.example>" },
    { "eight.example", "192.0.2.10 <1.example> <2.example> <3.example> <4.example> <5.example> "
                       "<6.example> <7.example> <8.example>" },
    { "nine.example", "the name servers cannot tell the address of nine.example" },
    { "ring.example", "the name servers cannot tell the address of ring.example" },
    { "half.example", "192.0.2.5" },
    { "nx.example", "there is no host nx.example" },
    { "dead-alias.example", "there is no host dead-alias.example" },
    { "nodata.example", "nodata.example has no address" },
    { "broken.example", "the name servers cannot tell the address of broken.example" },
    { "refused.example", "the name servers cannot tell the address of refused.example" },
    { "nonsense.example", "the name servers cannot tell the address of nonsense.example" },
    { "garbage.example", "192.0.2.11" },
    { "badid.example", "192.0.2.12" },
    { "badname.example", "192.0.2.13" },
    { "badfrom.example", "192.0.2.18" },
    { "short.example", "192.0.2.14" },
    { "localhost", "::1 127.0.0.1" },
    { "LOCALHOST.", "::1 127.0.0.1" },
    { "a.b.localhost", "::1 127.0.0.1" },
    { "notlocalhost", "there is no host notlocalhost" },
    { "any.invalid", "there is no host any.invalid" },
    { "any.onion", "there is no host any.onion" },
    { "", "that is no host name" },
    { ".", "that is no host name" },
    { "a..b", "that is no host name" },
    { ".a", "that is no host name" },
    { "a b", "that is no host name" },
    { "a%b", "that is no host name" },
    { "m\xc3\xbcller.example", "that is no host name" },
    { "under_score.example", "there is no host under_score.example" },
    { "a23456789012345678901234567890123456789012345678901234567890123.example",
      "there is no host a23456789012345678901234567890123456789012345678901234567890123.example" },
    { "a234567890123456789012345678901234567890123456789012345678901234.example",
      "that is no host name" },
};

static void names_have_their_answers(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof answers / sizeof *answers; i++) {
        const char *got = resolve(answers[i].name);
        if (strcmp(got, answers[i].want) != 0)
            fail_msg("%s: %s", answers[i].name, got);
    }
}

static void names_end_at_253_bytes(void **state)
{
    char name[260];

    (void)state;
    for (size_t i = 0; i < sizeof name; i++)
        name[i] = i % 50 == 49 ? '.' : 'a';
    name[253] = '\0';
    assert_non_null(strstr(resolve(name), "there is no host a"));
    name[253] = 'a';
    name[254] = '\0';
    assert_string_equal(resolve(name), "that is no host name");
    name[253] = '.'; // the root's dot does not count
    assert_non_null(strstr(resolve(name), "there is no host a"));
}

static void addresses_end_at_sixteen_of_each_family(void **state)
{
    struct resolve_answer *answer;

    (void)state;
    resolve("sixteen.example");
    assert_true(resolve_start(resolver, &askers[0].query, SPAN("sixteen.example"), &answer));
    assert_int_equal(answer->count, 2 * RESOLVE_ADDRESSES);
    resolve("seventeen.example");
    assert_true(resolve_start(resolver, &askers[0].query, SPAN("seventeen.example"), &answer));
    assert_int_equal(answer->count, 2 * RESOLVE_ADDRESSES);
}

static void a_cut_answer_is_asked_for_by_tcp(void **state)
{
    (void)state;
    assert_non_null(strstr(resolve("long.example"), "10.0.0.1 10.0.0.2 10.0.0.3"));
    assert_int_equal(server.asked_by_tcp, 1);
}

static void answers_are_kept(void **state)
{
    unsigned asked;

    (void)state;
    resolve("both.example");
    asked = server.asked;
    assert_int_equal(asked, 2);
    assert_true(ask(1, "both.example"));
    assert_true(ask(1, "Both.EXAMPLE"));
    assert_string_equal(askers[1].text, "2001:db8::1 192.0.2.1 192.0.2.2");
    assert_int_equal(server.asked, asked);
    assert_int_equal(resolver_counts(resolver).lookups, 2);
    assert_int_equal(resolver_counts(resolver).cache_hits, 2);
    assert_int_equal(resolver_counts(resolver).failures, 0);
}

/* The clock is moved while the loop runs: its time stands until it wakes up again. */
static struct loop_timer now;
static const struct {
    const char *name;
    uint64_t good_ms, bad_ms;
} lives[] = {
    { "both.example", 59900, 60000 },     // the least of the TTLs
    { "alias.example", 19900, 20000 },    // of the aliases, too
    { "six.example", 900, 1000 },         // TTL 0
    { "second.example", 900, 1000 },      // TTL 1
    { "four.example", 3599900, 3600000 }, // TTL above an hour
    { "half.example", 29900, 30000 },     // the other family failed
    { "nx.example", 4900, 5000 },         { "broken.example", 4900, 5000 },
};
static unsigned life;

static void look_twice(void *owner)
{
    uint64_t base_ms = loop->now_ms;
    unsigned asked = server.asked;
    uint64_t lookups = resolver_counts(resolver).lookups;

    (void)owner;
    (void)asked;
    loop->now_ms = base_ms + lives[life].good_ms;
    ask(1, lives[life].name);
    resolve_cancel(&askers[1].query);
    if (resolver_counts(resolver).lookups != lookups)
        fail_msg("%s is forgotten too early", lives[life].name);
    loop->now_ms = base_ms + lives[life].bad_ms;
    ask(1, lives[life].name);
    resolve_cancel(&askers[1].query);
    if (resolver_counts(resolver).lookups == lookups)
        fail_msg("%s is remembered too long", lives[life].name);
    loop->now_ms = base_ms;
    loop_stop(loop);
}

static void look_in_this_very_round(struct asker *asker)
{
    (void)asker;
    look_twice(NULL);
}

static void answers_live_as_long_as_they_may(void **state)
{
    (void)state;
    loop_timer_init(&now, loop, look_twice, NULL);
    for (life = 0; life < sizeof lives / sizeof *lives; life++) {
        askers[0].then = look_in_this_very_round;
        assert_false(ask(0, lives[life].name));
        run_for(1);
        assert_int_equal(askers[0].answers, 1);
    }
}

static void failures_are_kept_briefly(void **state)
{
    unsigned asked;

    (void)state;
    resolve("nx.example");
    asked = server.asked;
    assert_string_equal(resolve("nx.example"), "there is no host nx.example");
    assert_int_equal(server.asked, asked);
    assert_int_equal(resolver_counts(resolver).failures, 2);
}

static void askers_share_a_question(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 4; i++)
        assert_false(ask(i, "late.example"));
    resolve_cancel(&askers[1].query);
    resolve_cancel(&askers[1].query); // harmless
    resolve_cancel(&askers[3].query); // the last in line
    assert_false(ask(4, "late.example"));
    run_for(3);
    assert_string_equal(askers[0].text, "192.0.2.7");
    assert_string_equal(askers[2].text, "192.0.2.7");
    assert_string_equal(askers[4].text, "192.0.2.7");
    assert_int_equal(askers[1].answers, 0);
    assert_int_equal(server.asked, 2);
}

static void an_unwanted_answer_fills_the_cache(void **state)
{
    (void)state;
    assert_false(ask(0, "four.example"));
    resolve_cancel(&askers[0].query);
    resolve("both.example");
    assert_true(ask(1, "four.example"));
}

static void meddle(struct asker *asker)
{
    (void)asker;
    resolve_cancel(&askers[1].query);    // in the same line
    assert_true(ask(3, "both.example")); // the same name again
    assert_false(ask(4, "nx.example"));  // another
    assert_false(ask(5, "not a name"));
}

static void callbacks_may_meddle(void **state)
{
    (void)state;
    askers[0].then = meddle;
    for (unsigned i = 0; i < 3; i++)
        assert_false(ask(i, "both.example"));
    run_for(4);
    assert_int_equal(askers[0].answers, 1);
    assert_int_equal(askers[1].answers, 0);
    assert_int_equal(askers[2].answers, 1);
    assert_string_equal(askers[3].text, "2001:db8::1 192.0.2.1 192.0.2.2");
    assert_string_equal(askers[4].text, "there is no host nx.example");
    assert_string_equal(askers[5].text, "that is no host name");
}

static void ask_that_again(struct asker *asker)
{
    asker->then = NULL;
    assert_false(ask((unsigned)(asker - askers), asker == &askers[0] ? "nx.example" : "x y"));
}

static void a_failure_may_be_asked_for_again_in_its_callback(void **state)
{
    (void)state;
    askers[0].then = ask_that_again;
    askers[1].then = ask_that_again;
    assert_false(ask(0, "nx.example"));
    assert_false(ask(1, "x y"));
    run_for(4);
    assert_string_equal(askers[0].text, "there is no host nx.example");
    assert_string_equal(askers[1].text, "that is no host name");
    assert_int_equal(server.asked, 2);
}

static const struct {
    const char *extra, *name, *want, *asked;
} searches[] = {
    { "search corp.example lab.example", "printer", "192.0.2.21",
      "6 printer.corp.example, 4 printer.corp.example" },
    { "search corp.example lab.example", "fax", "192.0.2.22",
      "6 fax.corp.example, 4 fax.corp.example, 6 fax.lab.example, 4 fax.lab.example" },
    { "search corp.example", "scanner", "192.0.2.23",
      "6 scanner.corp.example, 4 scanner.corp.example, 6 scanner, 4 scanner" },
    { "search corp.example", "printer.", "192.0.2.20", "6 printer, 4 printer" },
    { "", "printer", "192.0.2.20", "6 printer, 4 printer" },
    { "domain corp.example", "printer", "192.0.2.21",
      "6 printer.corp.example, 4 printer.corp.example" },
    { "search corp.example", "a.b", "192.0.2.24", "6 a.b, 4 a.b" },
    { "search corp.example\noptions ndots:2", "a.b", "192.0.2.25",
      "6 a.b.corp.example, 4 a.b.corp.example" },
    { "search corp.example\noptions ndots:0", "printer", "192.0.2.20", "6 printer, 4 printer" },
    { "search corp.example", "nothing", "there is no host nothing",
      "6 nothing.corp.example, 4 nothing.corp.example, 6 nothing, 4 nothing" },
    { "search corp.example", "nx.example", "there is no host nx.example",
      "6 nx.example, 4 nx.example" },
    { "search corp.example\noptions attempts:1", "shy",
      "the name servers cannot tell the address of shy",
      "6 shy.corp.example, 4 shy.corp.example, 6 shy, 4 shy" },
};

static void short_names_are_searched_for(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof searches / sizeof *searches; i++) {
        const char *got;

        configure(searches[i].extra, "");
        server.log[0] = '\0';
        got = resolve(searches[i].name);
        if (strcmp(got, searches[i].want) != 0 || strcmp(server.log, searches[i].asked) != 0)
            fail_msg("%s, %s: %s after %s", searches[i].extra, searches[i].name, got, server.log);
    }
}

static void a_search_that_is_too_long_is_left_out(void **state)
{
    char extra[400] = "search ";
    size_t used = strlen(extra);

    (void)state;
    for (size_t i = 0; i < 245; i++)
        extra[used++] = i % 50 == 49 ? '.' : 'a';
    snprintf(extra + used, sizeof extra - used, " corp.example");
    configure(extra, "");
    assert_string_equal(resolve("printer"), "192.0.2.21"); // 7 + 1 + 245 bytes: asked for
    assert_non_null(strstr(server.log, "printer.aaa"));
    server.log[0] = '\0';
    assert_string_equal(resolve("printers"), "there is no host printers"); // 254: passed over
    assert_string_equal(server.log, "6 printers.corp.example, 4 printers.corp.example, "
                                    "6 printers, 4 printers");
}

static void one_family_does_not_wait_for_the_other(void **state)
{
    uint64_t began_ms = loop_now_ms(loop);

    (void)state;
    assert_string_equal(resolve("slow6.example"), "192.0.2.6");
    assert_true(loop_now_ms(loop) - began_ms < 390);
    assert_true(ask(1, "slow6.example"));
    assert_string_equal(askers[1].text, "192.0.2.6");
    assert_false(ask(2, "late.example")); // comes after what is missing
    run_for(1);
    assert_true(ask(1, "slow6.example"));
    assert_string_equal(askers[1].text, "2001:db8::66 192.0.2.6");

    assert_string_equal(resolve("slow4.example"), "2001:db8::67");
    assert_false(ask(2, "late.example."));
    run_for(1);
    assert_true(ask(1, "slow4.example"));
    assert_string_equal(askers[1].text, "2001:db8::67");
}

static void the_next_server_helps(void **state)
{
    uint64_t began_ms;
    char extra[200];

    (void)state;
    snprintf(extra, sizeof extra, "nameserver 127.0.0.1:%u\noptions timeout:1 attempts:1\n",
             other.port);
    configure(extra, "");
    assert_string_equal(resolve("broken.example"), "198.51.100.2");
    began_ms = loop_now_ms(loop);
    assert_string_equal(resolve("silent.example"), "198.51.100.1");
    assert_in_range(loop_now_ms(loop) - began_ms, 900, 5000);
    assert_string_equal(resolve("both.example"), "198.51.100.3"); // is now the first
    assert_string_equal(resolve("half.example"), "there is no host half.example");
    snprintf(conf, sizeof conf, "nameserver 127.0.0.1:%u\nnameserver 127.0.0.1:%u\n", server.port,
             other.port);
    assert_int_equal(resolver_configure(resolver, span_text(conf), SPAN_NONE, NULL), ERROR_NONE);
    assert_string_equal(resolve("half.example"), "192.0.2.5");
}

static void silence_is_a_timeout(void **state)
{
    (void)state;
    configure("options timeout:1 attempts:1\nsearch corp.example", "");
    assert_string_equal(resolve("mute"), "the name servers did not answer when asked for mute");
    assert_int_equal(askers[0].failed, ERROR_TIMEOUT);
    assert_null(strstr(server.log, "6 mute,")); // nor were they asked for more
}

static void nobody_at_the_port_is_a_failure(void **state)
{
    struct name_server gone;

    (void)state;
    name_server_start(&gone, loop, NULL, 0);
    name_server_stop(&gone);
    snprintf(conf, sizeof conf, "nameserver 127.0.0.1:%u\nsearch a.example b.example", gone.port);
    assert_int_equal(resolver_configure(resolver, span_text(conf), SPAN_NONE, NULL), ERROR_NONE);
    assert_string_equal(resolve("printer"), "the name servers cannot tell the address of printer");
    assert_int_equal(askers[0].failed, ERROR_NO_HOST);
}

static void a_server_that_cannot_be_asked_is_a_failure(void **state)
{
    (void)state; // no route to a documentation address of a link that is not there
    assert_int_equal(
        resolver_configure(resolver, SPAN("nameserver fe80::1%4000000\n"), SPAN_NONE, NULL),
        ERROR_NONE);
    assert_string_equal(resolve("four.example"),
                        "the name servers cannot tell the address of four.example");
}

static void hosts_come_first(void **state)
{
    (void)state;
    configure("", "192.0.2.99 both.example Alias.Example # not this.example\n"
                  "2001:db8::99 both.example\n"
                  "192.0.2.98 both.example\n");
    assert_true(ask(0, "both.example"));
    assert_string_equal(askers[0].text, "2001:db8::99 192.0.2.99 192.0.2.98");
    assert_true(ask(0, "alias.example."));
    assert_string_equal(askers[0].text, "192.0.2.99");
    assert_int_equal(server.asked, 0);
    assert_false(ask(0, "this.example"));
    run_for(1);
    configure("", "");
    assert_false(ask(0, "both.example"));
    run_for(1);
}

static void new_servers_are_asked_again(void **state)
{
    (void)state;
    assert_false(ask(0, "silent.example"));
    assert_false(ask(1, "both.example"));
    assert_false(ask(2, "any.invalid"));
    assert_false(ask(3, "x y"));
    assert_false(ask(5, "four.example"));
    while (!askers[5].answers) // the first answers are there, but silent.example
        run_for(1);
    snprintf(conf, sizeof conf, "nameserver 127.0.0.1:%u\n", other.port);
    assert_false(ask(4, "nx.example"));
    assert_int_equal(resolver_configure(resolver, span_text(conf), SPAN_NONE, NULL), ERROR_NONE);
    while (!askers[0].answers || !askers[4].answers || !askers[2].answers || !askers[3].answers)
        run_for(1);
    assert_string_equal(askers[0].text, "198.51.100.1");
    assert_string_equal(askers[4].text, "there is no host nx.example");
    assert_string_equal(askers[3].text, "that is no host name");
    assert_false(ask(0, "both.example")); // forgotten
    run_for(1);
    assert_string_equal(askers[0].text, "198.51.100.3");
}

static void new_hosts_answer_who_waits(void **state)
{
    (void)state;
    assert_false(ask(0, "silent.example"));
    configure("", "192.0.2.77 silent.example\n");
    run_for(1);
    assert_string_equal(askers[0].text, "192.0.2.77");
}

static void reconfigure(struct asker *asker)
{
    asker->then = NULL;
    snprintf(conf, sizeof conf, "nameserver 127.0.0.1:%u\n", other.port);
    assert_int_equal(resolver_configure(resolver, span_text(conf), SPAN_NONE, NULL), ERROR_NONE);
}

static void servers_may_change_in_a_callback(void **state)
{
    (void)state;
    askers[0].then = reconfigure;
    assert_false(ask(0, "nx.example")); // both told in one turn
    assert_false(ask(1, "nx.example"));
    assert_false(ask(2, "any.invalid"));
    run_for(3);
    assert_string_equal(askers[1].text, "there is no host nx.example");
    assert_string_equal(resolve("both.example"), "198.51.100.3");
}

static void texts_beyond_their_limits_change_nothing(void **state)
{
    char *text = malloc(RESOLVE_CACHE_NAMES * 100);
    struct error error;

    (void)state;
    memset(text, '\n', RESOLVE_CACHE_NAMES * 100);
    resolve("both.example");
    assert_int_equal(resolver_configure(resolver, span_of(text, 65537), SPAN_NONE, &error),
                     ERROR_LIMIT);
    assert_true(ask(0, "both.example"));
    assert_int_equal(resolver_configure(resolver, span_of(text, 65536), SPAN_NONE, &error),
                     ERROR_NONE);
    free(text);
}

static void the_cache_has_a_limit_and_drops_the_oldest(void **state)
{
    char name[40];

    (void)state;
    resolve("four.example");
    resolve("both.example");
    for (unsigned i = 0; i < RESOLVE_CACHE_NAMES - 2; i++) {
        snprintf(name, sizeof name, "n%u.invalid", i);
        assert_false(ask(1, name));
        resolve_cancel(&askers[1].query);
        if (i == 0) {
            assert_true(ask(2, "four.example")); // now used later than the other
        }
    }
    run_for(0);
    resolve("x.invalid"); // the loop runs once, nobody is due any more; one is dropped
    assert_true(ask(2, "four.example"));
    assert_false(ask(2, "both.example"));
    run_for(1);
}

static void no_more_names_are_asked_for_than_the_cache_holds(void **state)
{
    static struct resolve_query queries[RESOLVE_CACHE_NAMES];
    struct resolve_answer *answer;
    char name[40];

    (void)state;
    for (size_t i = 0; i < RESOLVE_CACHE_NAMES; i++) {
        snprintf(name, sizeof name, "n%zu.example", i);
        queries[i] = (struct resolve_query){ .on_resolved = on_resolved, .owner = &askers[7] };
        assert_false(resolve_start(resolver, &queries[i], span_text(name), &answer));
    }
    resolve("one-more.example");
    assert_int_equal(askers[0].failed, ERROR_LIMIT);
    assert_string_equal(askers[0].text, "more than 10000 names are being looked up");
    for (size_t i = 0; i < RESOLVE_CACHE_NAMES; i++)
        resolve_cancel(&queries[i]);
}

static void an_answer_outlives_the_cache_by_reference(void **state)
{
    struct resolve_answer *answer;
    char text[ADDRESS_TEXT_BYTES];

    (void)state;
    resolve("four.example");
    assert_true(resolve_start(resolver, &askers[0].query, SPAN("four.example"), &answer));
    resolve_answer_ref(answer);
    resolver_free(&resolver);
    assert_string_equal(address_text(&answer->addresses[0], text), "192.0.2.4"); // borrowed, too
    resolver_new(&resolver, loop, NULL);
    configure("", "");
    resolve("both.example");
    assert_string_equal(address_text(&answer->addresses[0], text), "192.0.2.4");
    resolve_answer_unref(answer);
}

static void it_may_end_while_asking(void **state)
{
    (void)state;
    ask(0, "silent.example");
    ask(1, "silent.example");
    ask(2, "x y");
    ask(3, "any.invalid");
    resolver_free(&resolver);
    assert_null(askers[0].query.entry);
    resolve_cancel(&askers[0].query); // harmless
}

/* In a process that can open no file: answers come, and the numbers of the questions, of which
 * c-ares would make the same ones each time there, are written to `to`. */
static void ask_without_files(int to)
{
    scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ALLOW);
    struct scmp_arg_cmp is_unix = { .op = SCMP_CMP_EQ, .datum_a = AF_UNIX };

    resolver_free(&resolver);
    seccomp_rule_add(filter, SCMP_ACT_ERRNO(ENOENT), SCMP_SYS(open), 0);
    seccomp_rule_add(filter, SCMP_ACT_ERRNO(ENOENT), SCMP_SYS(openat), 0);
    seccomp_rule_add(filter, SCMP_ACT_ERRNO(ENOENT), SCMP_SYS(socket), 1,
                     is_unix); // name service caches and the like
    if (seccomp_load(filter) < 0)
        _exit(77);
    seccomp_release(filter);
    if (open("/dev/urandom", O_RDONLY) >= 0 || resolver_new(&resolver, loop, NULL) != ERROR_NONE)
        _exit(1);
    configure("", "192.0.2.99 hosts.example\n");
    if (strcmp(resolve("hosts.example"), "192.0.2.99") != 0 ||
        strcmp(resolve("four.example"), "192.0.2.4") != 0 ||
        strcmp(resolve("alias.example"), "192.0.2.8 <one.example> <two.example>") != 0)
        _exit(2);
    _exit(write(to, server.numbers, 4 * sizeof *server.numbers) > 0 ? 0 : 3);
}

static void it_works_where_no_file_can_be_opened(void **state)
{
    uint16_t numbers[2][4] = { 0 };
    int ends[2], status;

    (void)state;
    assert_int_equal(pipe(ends), 0);
    for (unsigned i = 0; i < 2; i++) {
        pid_t child = fork();

        if (child == 0) { // epoll would be shared: a loop of its own
            set_up(NULL);
            ask_without_files(ends[1]);
        }
        assert_int_equal(waitpid(child, &status, 0), child);
        if (WIFEXITED(status) && WEXITSTATUS(status) == 77) {
            print_message("no seccomp here\n");
            skip();
        }
        assert_int_equal(status, 0);
        assert_int_equal(read(ends[0], numbers[i], sizeof numbers[i]), sizeof numbers[i]);
    }
    close(ends[0]);
    close(ends[1]);
    assert_memory_not_equal(numbers[0], numbers[1], sizeof numbers[0]);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(names_have_their_answers),
        TEST(names_end_at_253_bytes),
        TEST(addresses_end_at_sixteen_of_each_family),
        TEST(a_cut_answer_is_asked_for_by_tcp),
        TEST(answers_are_kept),
        TEST(answers_live_as_long_as_they_may),
        TEST(failures_are_kept_briefly),
        TEST(askers_share_a_question),
        TEST(an_unwanted_answer_fills_the_cache),
        TEST(callbacks_may_meddle),
        TEST(a_failure_may_be_asked_for_again_in_its_callback),
        TEST(short_names_are_searched_for),
        TEST(a_search_that_is_too_long_is_left_out),
        TEST(one_family_does_not_wait_for_the_other),
        TEST(the_next_server_helps),
        TEST(silence_is_a_timeout),
        TEST(nobody_at_the_port_is_a_failure),
        TEST(a_server_that_cannot_be_asked_is_a_failure),
        TEST(hosts_come_first),
        TEST(new_servers_are_asked_again),
        TEST(new_hosts_answer_who_waits),
        TEST(servers_may_change_in_a_callback),
        TEST(texts_beyond_their_limits_change_nothing),
        TEST(the_cache_has_a_limit_and_drops_the_oldest),
        TEST(no_more_names_are_asked_for_than_the_cache_holds),
        TEST(an_answer_outlives_the_cache_by_reference),
        TEST(it_may_end_while_asking),
        TEST(it_works_where_no_file_can_be_opened),
    };
    return cmocka_run_group_tests_name("resolve", tests, NULL, NULL);
}
