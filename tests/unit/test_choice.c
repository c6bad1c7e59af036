/* Whose tunnel is opened: config, the list, and what was learned, each in its turn. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <cmocka.h>

#include <stdio.h>

#include "proxy/choice.h"
#include "proxy_config.h"

#define HEAD "dejunk learned 1\n"
#define ANN HEAD "enrolled user:ann any 5 always by-hand\nend 1\n"
#define ONE HEAD "enrolled 10.0.0.1 any 5 always by-hand\nend 1\n"
#define FAMILY UINT64_C(0xf1)
#define TUNNEL                                                                                     \
    HEAD "enrolled 10.0.0.1 any 5 always by-hand\n"                                                \
         "tunnel 10.0.0.1 00000000000000f1 a.example 5 9223372036854775807 2 refused\nend 2\n"

static const char list[] =
    "# banks\nbank.example\n  Health.Example   # and this\r\n*.star.example\n"
    "not a host\n\n[::1]\nfd00::1";

static const struct {
    const char *name, *config, *learned, *client, *user, *host;
    uint64_t family;
    enum choice_answer want;
} cases[] = {
    { "nobody is enrolled", "", NULL, "10.0.0.1", "", "a.example", 0, CHOICE_NOT_ENROLLED },
    { "enrolled", "", ONE, "10.0.0.1", "", "a.example", 0, CHOICE_INTERCEPT },
    { "enrolled, with its family", "", ONE, "10.0.0.1", "", "a.example", FAMILY, CHOICE_INTERCEPT },
    { "a mapped address", "", ONE, "::ffff:10.0.0.1", "", "a.example", 0, CHOICE_INTERCEPT },
    { "another", "", ONE, "10.0.0.2", "", "a.example", 0, CHOICE_NOT_ENROLLED },
    { "a user", "", ANN, "10.0.0.2", "ann", "a.example", 0, CHOICE_INTERCEPT },
    { "another user", "", ANN, "10.0.0.2", "bob", "a.example", 0, CHOICE_NOT_ENROLLED },
    { "all", "intercept = all", NULL, "10.0.0.2", "", "a.example", 0, CHOICE_INTERCEPT },
    { "none", "intercept = none", ONE, "10.0.0.1", "", "a.example", 0, CHOICE_OFF },
    { "listed", "intercept = all", NULL, "10.0.0.1", "", "bank.example", 0, CHOICE_LIST },
    { "listed, below", "intercept = all", NULL, "10.0.0.1", "", "www.bank.example", 0,
      CHOICE_LIST },
    { "listed, only at a label", "intercept = all", NULL, "10.0.0.1", "", "mybank.example", 0,
      CHOICE_INTERCEPT },
    { "listed in capitals", "intercept = all", NULL, "10.0.0.1", "", "health.example", 0,
      CHOICE_LIST },
    { "listed with a star", "intercept = all", NULL, "10.0.0.1", "", "x.star.example", 0,
      CHOICE_LIST },
    { "a listed address", "intercept = all", NULL, "10.0.0.1", "", "fd00::1", 0, CHOICE_LIST },
    { "a site that says no", "intercept = all\nsite \"*.a.example\" { intercept = no }", NULL,
      "10.0.0.1", "", "x.a.example", 0, CHOICE_SITE },
    { "a site that says nothing", "intercept = all\nsite \"*.a.example\" { filter = no }", NULL,
      "10.0.0.1", "", "x.a.example", 0, CHOICE_INTERCEPT },
    { "a site that says yes is no list's",
      "intercept = all\nsite \"bank.example\" { intercept = yes }", NULL, "10.0.0.1", "",
      "bank.example", 0, CHOICE_INTERCEPT },
    { "but it enrols nobody", "site \"bank.example\" { intercept = yes }", NULL, "10.0.0.1", "",
      "bank.example", 0, CHOICE_NOT_ENROLLED },
    { "a client that says no", "intercept = all\nclient \"10.0.0.0/8\" { intercept = no }", NULL,
      "10.0.0.1", "", "a.example", 0, CHOICE_SITE },
    { "a user that says no", "intercept = all\nclient \"ann\" { intercept = no }", NULL, "10.0.0.1",
      "ann", "a.example", 0, CHOICE_SITE },
    { "the last site wins",
      "intercept = all\nsite \"*\" { intercept = no }\nsite \"a.example\" { intercept = yes }",
      NULL, "10.0.0.1", "", "a.example", 0, CHOICE_INTERCEPT },
    { "learned", "", TUNNEL, "10.0.0.1", "", "a.example", FAMILY, CHOICE_LEARNED },
    { "learned, whose family is not known yet", "", TUNNEL, "10.0.0.1", "", "a.example", 0,
      CHOICE_INTERCEPT },
    { "learned of another family", "", TUNNEL, "10.0.0.1", "", "a.example", FAMILY + 1,
      CHOICE_INTERCEPT },
    { "learned, and intercepting all", "intercept = all", TUNNEL, "10.0.0.1", "", "a.example",
      FAMILY, CHOICE_LEARNED },
};

static struct choice_question question_of(struct settings *settings, struct address *client,
                                          size_t i)
{
    assert_true(address_parse(client, span_text(cases[i].client), 1234));
    return (struct choice_question){ settings, client, span_text(cases[i].user),
                                     span_text(cases[i].host), cases[i].family };
}

static void each_has_its_answer(void **state)
{
    const struct proxy_seams seams = { 0 };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct settings *settings = good_settings(cases[i].config);
        struct choice *choice = choice_new(&seams);
        struct address client;
        const struct choice_question question = question_of(settings, &client, i);
        enum choice_answer got;

        choice_set_list(choice, SPAN("old.example"));
        choice_set_list(choice, span_text(list));
        if (cases[i].learned)
            assert_int_equal(choice_set_learned(choice, span_text(cases[i].learned), NULL),
                             ERROR_NONE);
        got = choice_ask(choice, &question);
        if (got != cases[i].want)
            fail_msg("%s: %s, wanted %s", cases[i].name, choice_word(got),
                     choice_word(cases[i].want));
        choice_free(&choice);
        settings_unref(&settings);
    }
}

static enum choice_answer ask_about(struct choice *choice, struct span host)
{
    struct settings *settings = good_settings("intercept = all");
    struct address client;
    struct choice_question question = question_of(settings, &client, 0);
    enum choice_answer answer;

    question.host = host;
    answer = choice_ask(choice, &question);
    settings_unref(&settings);
    return answer;
}

/* Hosts behind 100,000 others, and names longer than any host's, are passed over. */
static void the_list_has_limits(void **state)
{
    const struct proxy_seams seams = { 0 };
    struct choice *choice = choice_new(&seams);
    struct buffer text = { .limit_bytes = 1 << 21 };
    char name[254];

    (void)state;
    for (unsigned i = 1; i < 100000; i++)
        assert_true(buffer_printf(&text, "h%u.example\n", i));
    assert_true(buffer_append(&text, SPAN("h1.example\nlast.example\nmore.example\n")));
    choice_set_list(choice, buffer_span(&text));
    assert_int_equal(ask_about(choice, SPAN("h99999.example")), CHOICE_LIST);
    assert_int_equal(ask_about(choice, SPAN("last.example")), CHOICE_LIST); // one stood there twice
    assert_int_equal(ask_about(choice, SPAN("more.example")), CHOICE_INTERCEPT);

    memset(name, 'a', sizeof name);
    for (size_t size = sizeof name - 1; size <= sizeof name; size++) {
        choice_set_list(choice, span_of(name, size));
        assert_int_equal(ask_about(choice, span_of(name, size)),
                         size <= 253 ? CHOICE_LIST : CHOICE_INTERCEPT);
    }
    buffer_release(&text);
    choice_free(&choice);
}

/* ---- notes ---- */

static size_t told;
static enum learned_kind last_kind;

static void tell_learned(void *owner, const struct learned_event *event)
{
    assert_ptr_equal(owner, &told);
    told++;
    last_kind = event->kind;
    assert_true(span_equal(event->who.address, SPAN("10.0.0.1")));
    assert_true(span_equal(event->who.host, SPAN("a.example")));
}

static void what_changes_is_told_and_holds_at_once(void **state)
{
    const struct proxy_seams seams = { .tell_learned = tell_learned, .owner = &told };
    struct settings *settings = good_settings("intercept = all");
    struct choice *choice = choice_new(&seams);
    struct address client;
    struct choice_question question = question_of(settings, &client, 0);

    (void)state;
    question.family = FAMILY;
    choice_note(choice, &question, LEARNED_ACCEPTED, false);
    assert_int_equal(told, 0); // as nearly always
    choice_note(choice, &question, LEARNED_REFUSED, true);
    assert_int_equal(told, 0);
    choice_note(choice, &question, LEARNED_CLOSED, false);
    assert_int_equal(told, 1);
    assert_int_equal(choice_ask(choice, &question), CHOICE_INTERCEPT);
    choice_note(choice, &question, LEARNED_REFUSED, false);
    assert_int_equal(told, 2);
    assert_int_equal(last_kind, LEARNED_REFUSED);
    assert_int_equal(choice_ask(choice, &question), CHOICE_LEARNED);
    assert_int_equal(choice_set_learned(choice, SPAN("x"), NULL), ERROR_SYNTAX);
    assert_int_equal(choice_ask(choice, &question), CHOICE_LEARNED);
    assert_int_equal(choice_set_learned(choice, SPAN(HEAD "end 0\n"), NULL), ERROR_NONE);
    assert_int_equal(choice_ask(choice, &question), CHOICE_INTERCEPT);
    choice_free(&choice);
    choice_free(&choice); // harmless
    settings_unref(&settings);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_has_its_answer),
        cmocka_unit_test(the_list_has_limits),
        cmocka_unit_test(what_changes_is_told_and_holds_at_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
