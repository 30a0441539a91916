-- Drains under way end; no further pod leaves for the rollout.
obj.spec.paused = true
return obj
