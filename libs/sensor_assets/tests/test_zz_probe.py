from collections import Counter
from sensor_assets.ledger import PostgresLedger
from sensor_assets.ledger._api import ScanSupersededError
from .test_protocol import hold, new_simulation, database
def test_probe(new_simulation, database, monkeypatch):
    c = Counter()
    emit, record, settle = PostgresLedger.emit, PostgresLedger.record, PostgresLedger.settle
    def e(self,*a):
        r=emit(self,*a); c["repeated with batches"]+=r.repeated and bool(r.batches); c["emitted"]+=len(r.batches); c["held"]+=bool(r.held); return r
    def rec(self,*a):
        try:
            n=record(self,*a); c["arrivals"]+=n; return n
        except ScanSupersededError: c["superseded"]+=1; raise
    def st(self,s,now):
        c["settled "+s.batch.state+" "+str(s.error)]+=1; return settle(self,s,now)
    monkeypatch.setattr(PostgresLedger,"emit",e); monkeypatch.setattr(PostgresLedger,"record",rec); monkeypatch.setattr(PostgresLedger,"settle",st)
    hold(new_simulation, examples=250)
    print(c)
    print(database.execute("select state, count(*), max(attempt) from batch group by 1").fetchall())
