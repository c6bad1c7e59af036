/* Passwords: who is let in, what is remembered, what is slowed, and what a change puts out of
 * force. The questions are asked of a real proxy's thread. */
#include <crypt.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <cmocka.h>

#include "proxy/auth.h"
#include "proxy_config.h"

static struct scene {
    struct loop *loop;
    struct proxy *proxy;
    struct metrics metrics;
    char config[300];
} scene;

struct asked {
    struct auth_question question;
    unsigned answers, *waiting;
    bool is_good;
    uint64_t at_ms;
};

static void make_config(const char *password)
{
    char setting[CRYPT_GENSALT_OUTPUT_SIZE];
    struct crypt_data data = { 0 };

    assert_non_null(crypt_gensalt_rn("$y$", 1, NULL, 0, setting, sizeof setting));
    snprintf(scene.config, sizeof scene.config, "user \"me\" { password = \"%s\" }\n",
             crypt_r(password, setting, &data));
}

static int set_up(void **state)
{
    struct proxy_setup setup = { .metrics = &scene.metrics,
                                 .resolv_conf = SPAN(""),
                                 .hosts = SPAN(""),
                                 .via_pseudonym = SPAN("test") };
    struct error error;

    (void)state;
    make_config("secret:x");
    assert_int_equal(loop_new(&scene.loop, &error), ERROR_NONE);
    setup.loop = scene.loop;
    assert_int_equal(config_of(&setup.config, scene.config, &error), ERROR_NONE);
    assert_int_equal(proxy_new(&scene.proxy, &setup, &error), ERROR_NONE);
    config_unref(&setup.config);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    proxy_free(&scene.proxy);
    loop_free(&scene.loop);
    return 0;
}

static void on_answer(void *owner, bool is_good)
{
    struct asked *asked = owner;

    asked->answers++;
    asked->is_good = is_good;
    asked->at_ms = loop_now_ms(scene.loop);
    if (--*asked->waiting == 0)
        loop_stop(scene.loop);
}

/* "Basic " and base64 of user and password. */
static struct span basic(char *to, const char *pair)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    size_t size = strlen(pair), used = 6;

    memcpy(to, "Basic ", 6);
    for (size_t i = 0; i < size; i += 3) {
        unsigned bits = 0;
        for (size_t j = 0; j < 3; j++)
            bits = bits << 8 | (i + j < size ? (unsigned char)pair[i + j] : 0);
        for (size_t j = 0; j < 4; j++)
            to[used++] = i + j > size ? '=' : digits[bits >> (18 - 6 * j) & 63];
    }
    return span_of(to, used);
}

static enum auth_answer ask(struct asked *asked, struct span value, unsigned *waiting,
                            struct span *user)
{
    enum auth_answer answer;

    *asked = (struct asked){ .waiting = waiting };
    asked->question.on_answer = on_answer;
    asked->question.owner = asked;
    answer = auth_ask(scene.proxy, scene.proxy->settings, &asked->question, value, user);
    if (answer == AUTH_LATER)
        ++*waiting;
    return answer;
}

static void on_limit(void *owner)
{
    (void)owner;
    fail_msg("no answer");
}

static void wait_for_answers(unsigned *waiting)
{
    struct loop_timer limit; // and something to wait for: the thread alone is nothing to the loop

    if (!*waiting)
        return;
    loop_timer_init(&limit, scene.loop, on_limit, NULL);
    loop_timer_set(&limit, 60000);
    loop_run(scene.loop);
    loop_timer_stop(&limit);
}

static const struct {
    const char *name, *value; // a value without "Basic " is a pair
    enum auth_answer at_once;
    bool is_good;
} rows[] = {
    { "right", "me:secret:x", AUTH_LATER, true },
    { "wrong", "me:secret", AUTH_LATER, false },
    { "empty", "me:", AUTH_LATER, false },
    { "unknown", "you:secret:x", AUTH_LATER, false },
    { "another case", "ME:secret:x", AUTH_LATER, false },
    { "no colon", "mesecret", AUTH_WRONG, false },
    { "not base64", "Basic b*d=", AUTH_WRONG, false },
    { "not four by four", "Basic bWU", AUTH_WRONG, false },
    { "nothing", "Basic ", AUTH_WRONG, false },
    { "padding alone", "Basic ====", AUTH_WRONG, false },
    { "another scheme", "Digest bWU6c2VjcmV0Ong=", AUTH_WRONG, false },
    { "a NUL inside", "Basic bWU6c2VjcmV0AHg=", AUTH_WRONG, false },
};

static void lets_in_who_knows_the_password(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        bool is_whole = strchr(rows[i].value, ' ') != NULL;
        struct span value, user = SPAN_NONE;
        unsigned waiting = 0;
        struct asked asked;
        char text[200];

        value = is_whole ? span_text(rows[i].value) : basic(text, rows[i].value);
        if (ask(&asked, value, &waiting, &user) != rows[i].at_once)
            fail_msg("%s: not %d", rows[i].name, rows[i].at_once);
        wait_for_answers(&waiting);
        if (asked.is_good != rows[i].is_good || asked.answers != (rows[i].at_once == AUTH_LATER))
            fail_msg("%s: good %d, %u answers", rows[i].name, asked.is_good, asked.answers);
        if (rows[i].is_good && !span_equal(user, SPAN("me")))
            fail_msg("%s: user %.*s", rows[i].name, SPAN_PRINT(user));
    }
}

static void has_a_limit(void **state)
{
    char text[2 * AUTH_CREDENTIAL_BYTES], pair[AUTH_CREDENTIAL_BYTES + 1];
    unsigned waiting = 0;
    struct asked asked;
    struct span user;

    (void)state;
    memset(pair, 'x', sizeof pair);
    memcpy(pair, "me:", 3);
    pair[3 + 511] = '\0'; // the longest password that is looked at
    assert_int_equal(ask(&asked, basic(text, pair), &waiting, &user), AUTH_LATER);
    wait_for_answers(&waiting);
    assert_false(asked.is_good);
    pair[3 + 511] = 'x';
    pair[3 + 512] = '\0';
    assert_int_equal(ask(&asked, basic(text, pair), &waiting, &user), AUTH_WRONG);
    pair[3 + 512] = 'x';
    pair[AUTH_CREDENTIAL_BYTES] = '\0';
    assert_int_equal(ask(&asked, basic(text, pair), &waiting, &user), AUTH_WRONG);
}

static void remembers_a_good_pair_until_the_password_changes(void **state)
{
    struct span user = SPAN_NONE;
    unsigned waiting = 0;
    struct config *config;
    struct asked asked;
    struct error error;
    char text[200];

    (void)state;
    if (ask(&asked, basic(text, "me:secret:x"), &waiting, &user) == AUTH_LATER)
        wait_for_answers(&waiting);
    assert_int_equal(ask(&asked, basic(text, "me:secret:x"), &waiting, &user), AUTH_GOOD);
    assert_true(span_equal(user, SPAN("me")));
    assert_int_equal(ask(&asked, basic(text, "me:secret:y"), &waiting, &user), AUTH_LATER);
    wait_for_answers(&waiting);
    assert_false(asked.is_good);

    make_config("changed");
    assert_int_equal(config_of(&config, scene.config, &error), ERROR_NONE);
    assert_int_equal(proxy_configure(scene.proxy, config, &error), ERROR_NONE);
    config_unref(&config);
    assert_int_equal(ask(&asked, basic(text, "me:secret:x"), &waiting, &user), AUTH_LATER);
    wait_for_answers(&waiting);
    assert_false(asked.is_good);
}

static void many_at_once_and_some_give_up(void **state)
{
    enum { MANY = AUTH_WAITING + 1 };
    static struct asked asked[MANY];
    unsigned waiting = 0, later = 0;
    struct span user;
    char text[200];

    (void)state;
    for (unsigned i = 0; i < MANY; i++) {
        char pair[30];
        snprintf(pair, sizeof pair, "me:wrong %u", i);
        later += ask(&asked[i], basic(text, pair), &waiting, &user) == AUTH_LATER;
    }
    assert_in_range(later, AUTH_WAITING - 1, AUTH_WAITING); // the thread may have done one
    for (unsigned i = 0; i < MANY; i++)
        if (i % 64 != 5 && asked[i].question.job) {
            auth_cancel(scene.proxy, &asked[i].question);
            waiting--;
        }
    wait_for_answers(&waiting);
    for (unsigned i = 0; i < MANY; i++) {
        assert_int_equal(asked[i].answers, i % 64 == 5);
        assert_false(asked[i].is_good);
        auth_cancel(scene.proxy, &asked[i].question); // harmless
    }
}

static void a_wrong_one_is_answered_later(void **state)
{
    uint64_t before = loop_now_ms(scene.loop);
    struct asked asked;
    struct span user;
    unsigned waiting = 0;
    char text[200];

    (void)state;
    assert_int_equal(ask(&asked, basic(text, "me:no"), &waiting, &user), AUTH_LATER);
    wait_for_answers(&waiting);
    assert_true(asked.at_ms >= before + AUTH_WRONG_DELAY_MS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lets_in_who_knows_the_password),
        cmocka_unit_test(has_a_limit),
        cmocka_unit_test(remembers_a_good_pair_until_the_password_changes),
        cmocka_unit_test(many_at_once_and_some_give_up),
        cmocka_unit_test(a_wrong_one_is_answered_later),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
