-- One claim as one function call: the same rows as the service writes, with nothing in between.
CREATE TABLE bench_member (n int PRIMARY KEY, bucket smallint NOT NULL, member_id uuid NOT NULL);

CREATE FUNCTION bench_id(bucket int) RETURNS uuid LANGUAGE sql VOLATILE AS $$
    SELECT (left(gen, 29)
            || lpad(to_hex((('x' || substr(gen, 30, 1))::bit(4)::int & 12) * 256 + bucket), 3, '0')
           )::uuid
    FROM (SELECT lpad(to_hex((extract(epoch FROM clock_timestamp()) * 1000)::bigint), 12, '0')
                 || '7' || substr(replace(gen_random_uuid()::text, '-', ''), 14) AS gen) AS g
$$;

-- `hot`: with the one budget row that every claim of the service takes as well.
CREATE FUNCTION bench_redeem(number int, hot boolean) RETURNS uuid LANGUAGE plpgsql AS $$
DECLARE
    b smallint; m uuid; seq bigint; last timestamptz; now_ timestamptz;
    taken record; budget record;
    batch_ uuid; claim_ uuid; hold_ uuid; request_ uuid; key_ text := gen_random_uuid()::text;
BEGIN
    SELECT k.bucket, k.member_id INTO b, m FROM bench_member AS k WHERE k.n = number;
    SELECT x.event_seq, x.recorded_at INTO seq, last FROM member AS x
        WHERE x.bucket = b AND x.member_id = m FOR NO KEY UPDATE;
    PERFORM FROM request
        WHERE bucket = b AND caller = 'bench' AND operation = 'claim' AND key = key_;
    now_ := greatest(clock_timestamp(), last + interval '1 microsecond');
    SELECT * INTO taken FROM lot AS l
        WHERE l.bucket = b AND l.member_id = m AND l.unit = 'BENEFIT:LOUNGE'
          AND l.expires_at > now_ AND l.remaining > l.held
        ORDER BY l.expires_at, l.priority, l.granted_at LIMIT 1;
    IF hot THEN
        SELECT c.reserved, c.spent INTO budget FROM counter AS c
            WHERE c.counter = 'budget:lounge' AND c."window" = 'all' AND c.slice = 0
            FOR NO KEY UPDATE;
    END IF;
    batch_ := bench_id(b); claim_ := bench_id(b); hold_ := bench_id(b); request_ := bench_id(b);
    INSERT INTO batch (bucket, batch_id, member_id, kind, actor, effective_at, recorded_at,
                       booked_month)
        VALUES (b, batch_, m, 'claim.placed', 'bench', now_, now_, date_trunc('month', now_));
    INSERT INTO posting (bucket, batch_id, line, debit, credit, unit, amount, lot_id)
        VALUES (b, batch_, 0, 'available', 'held', 'BENEFIT:LOUNGE', 1, taken.lot_id);
    INSERT INTO posting (bucket, batch_id, line, debit, credit, unit, amount, party)
        VALUES (b, batch_, 1, 'budget.available', 'budget.reserved', 'MONEY:CNY', 3800, 'lounge');
    UPDATE lot SET held = held + 1 WHERE bucket = b AND lot_id = taken.lot_id;
    UPDATE wallet SET available = available - 1, held = held + 1
        WHERE bucket = b AND member_id = m AND unit = 'BENEFIT:LOUNGE';
    INSERT INTO outbox (bucket, member_id, seq, event_id, type, batch_id, subject_id, data,
                        recorded_at, position)
        VALUES (b, m, seq + 1, bench_id(b), 'claim.placed', batch_, claim_,
                '{"benefit": "LOUNGE", "quantity": 1}', now_, event_position());
    UPDATE member SET event_seq = seq + 1, recorded_at = now_, event_position = event_position()
        WHERE bucket = b AND member_id = m;
    INSERT INTO hold (bucket, hold_id, member_id, claim_id, batch_id, unit, quantity, cost_minor,
                      placed_at)
        VALUES (b, hold_, m, claim_, batch_, 'BENEFIT:LOUNGE', 1, 3800, now_);
    INSERT INTO claim (bucket, claim_id, member_id, programme, benefit, quantity, state, hold_id,
                       programme_version, claimed_at, changed_at, deadline)
        VALUES (b, claim_, m, 'wealth', 'LOUNGE', 1, 'HELD', hold_, 1, now_, now_,
                now_ + interval '1 day');
    INSERT INTO provider_request (bucket, request_id, member_id, claim_id, provider, sku,
                                  operation, body_sealed, body_hash, disclosed, created_at,
                                  next_at)
        VALUES (b, request_, m, claim_, 'sandbox', 'lounge-visit', 'ISSUE',
                convert_to(repeat('x', 160), 'UTF8'), decode(md5(key_), 'hex'), '{phone}', now_,
                now_);
    IF hot THEN
        UPDATE counter SET reserved = reserved + 3800
            WHERE counter = 'budget:lounge' AND "window" = 'all' AND slice = 0;
    END IF;
    INSERT INTO request (bucket, caller, operation, key, body_hash, ids, recorded_at)
        VALUES (b, 'bench', 'claim', key_, decode(md5(key_), 'hex'),
                jsonb_build_object('claim_id', claim_), now_);
    RETURN claim_;
END $$;
